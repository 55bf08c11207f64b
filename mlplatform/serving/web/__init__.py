"""What a browser gets: a template and, in `static/`, scripts and style; `build.py` copies them into a bento."""

from pathlib import Path

__all__ = ["WEB", "web_files"]

WEB = Path(__file__).resolve().parent


def web_files() -> list[Path]:
    """All of it, sorted."""
    return sorted(path for path in WEB.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc"))
