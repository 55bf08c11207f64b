"""From a table to a use case: look at it, say what is suspicious, choose, write the folder. Nothing here trains."""
