"""The name of an environment variable that holds a secret."""

import re

__all__ = ["variable"]


def variable(name: str) -> str:
    """The name, if it is one."""
    # No pattern of pydantic's: its JSON schema would show what was written, and that may be the secret itself.
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ValueError(
            "must be the name of an environment variable, such as SHOP_DATABASE; the connection string or the secret "
            "itself stands in the variable, never here"
        )
    return name
