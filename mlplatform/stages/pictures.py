"""Pictures in the Dagster UI: a Markdown value with the PNG inside, so that it needs no file server."""

import base64

import dagster as dg

__all__ = ["picture"]


def picture(png: bytes, title: str) -> dg.MarkdownMetadataValue:
    """A PNG as metadata."""
    return dg.MetadataValue.md(f"![{title}](data:image/png;base64,{base64.b64encode(png).decode()})")
