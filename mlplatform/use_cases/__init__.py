"""The declarations: one folder per use case."""
