"""Texts of other people's in files of ours: as YAML strings, and as comments."""

import json
from typing import Any

__all__ = ["as_comment", "as_yaml"]


def as_yaml(value: Any) -> str:
    """Text, or lists and dictionaries of it, on one line. JSON is YAML but for some characters, which are escaped."""
    written = json.dumps(value, ensure_ascii=False)
    return "".join(each if each.isprintable() else _escaped(each) for each in written)


def as_comment(text: str) -> str:
    """On one line, of characters that can be seen."""
    return "".join(each if each.isprintable() else "?" for each in " ".join(text.split()))


def _escaped(character: str) -> str:
    return f"\\U{ord(character):08x}"
