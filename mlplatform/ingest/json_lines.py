"""JSON lines as an SQL relation: each member of the objects is a column of text."""

from collections.abc import Sequence

import duckdb

from mlplatform.errors import SourceError
from mlplatform.ingest.dialect import text_sql
from mlplatform.ingest.named_files import NO_FOLDERS, compression, listed
from mlplatform.ingest.place import File

__all__ = ["json_sql"]

# So much of a line that is no object is told.
_SHOWN = 40


def json_sql(con: duckdb.DuckDBPyConnection, files: Sequence[File]) -> str:
    """Each member of the objects as text; what is a list or an object in it stays JSON.

    All lines are looked at for their members (`sample_size`), however few have one (`field_appearance_threshold`,
    `map_inference_threshold`), and none of their values is given a type.

    Raises SourceError for files without a row, or with a line that is no object.
    """
    scan = (
        f"FROM read_json({listed(files)}, {compression(files)}{NO_FOLDERS}, format = 'newline_delimited', "
        "records = 'true', maximum_depth = 1, sample_size = -1, union_by_name = true, map_inference_threshold = -1, "
        "field_appearance_threshold = 0)"
    )
    try:
        names = con.execute(f"SELECT * {scan} LIMIT 0").to_arrow_table().schema.names
    except duckdb.BinderException as error:
        raise SourceError(_no_objects(con, files)) from error
    if _were_renamed(names):
        return f"SELECT COLUMNS(*) ->> '$' {scan}"
    # Members that are named are not looked for again, each time that the relation is asked.
    columns = ", ".join(f"{text_sql(name)}: 'JSON'" for name in names)
    return (
        f"SELECT COLUMNS(*) ->> '$' FROM read_json({listed(files)}, {compression(files)}{NO_FOLDERS}, "
        f"format = 'newline_delimited', records = 'true', columns = {{{columns}}})"
    )


def _were_renamed(names: Sequence[str]) -> bool:
    """Whether some may be members that differ in case only, which DuckDB calls `a` and `A_1`."""
    taken = {name.lower() for name in names}
    return any(end.isdigit() and start.lower() in taken for start, _, end in (name.rpartition("_") for name in names))


def _no_objects(con: duckdb.DuckDBPyConnection, files: Sequence[File]) -> str:
    found = con.execute(
        f"SELECT filename, json FROM read_ndjson_objects({listed(files)}, {compression(files)}filename = true) "
        "WHERE json_type(json) <> 'OBJECT' LIMIT 1"
    ).fetchone()
    if found:
        name, line = found
        what = f"a line is `{str(line)[:_SHOWN]}`, which is no JSON object"
    else:
        name = files[0].name if len(files) == 1 else f"{files[0].name} ... {files[-1].name} ({len(files)} files)"
        what = "there is no line with a JSON object that has a member"
    return f"{name}: {what}. Write one object a line, or take the file out of the folder. Nothing of it was loaded."
