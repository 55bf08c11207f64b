"""An e-mail address as a message's header takes it."""

import re
from email.errors import InvalidHeaderDefect, NonPrintableDefect
from email.headerregistry import HeaderRegistry
from typing import Any

__all__ = ["mail_address"]


def mail_address(text: str) -> str:
    """The address, if it is one: `team@example.org`, `Team <team@example.org>`, or a name that the server knows."""
    if not re.fullmatch(r"[\w.+-]+", text, re.ASCII) and not _is_one_address(text):
        raise ValueError(
            f"{text!r} is no e-mail address; write one address, such as team@example.org or Team <team@example.org>"
        )
    return text


def _is_one_address(text: str) -> bool:
    # Asked of the parser that writes the message later: it has its own mind, and breaks on some that are none.
    try:
        header: Any = HeaderRegistry()("to", text)
    except Exception:
        return False
    wrong = [defect for defect in header.defects if isinstance(defect, (InvalidHeaderDefect, NonPrintableDefect))]
    return len(header.addresses) == 1 and not wrong
