"""Parquet, where pyarrow is installed: one row a run, nested columns as in JSON."""

import io
from pathlib import Path

from analysis.tables import records
from analysis.tables.sheets import Sheet


def read(path: Path, data: bytes) -> Sheet:
    """The table in a Parquet file's bytes.

    Raises:
      ValueError: pyarrow is not installed, or the file is broken.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise ValueError(
            f"{path}: is a Parquet file; pip install pyarrow reads it, or save the table as CSV"
        ) from None
    try:
        objects = pyarrow.parquet.read_table(io.BytesIO(data)).to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(
            f"{path}: is a broken Parquet file ({error}); write it again, or save the table as CSV"
        ) from None
    return records.tabulate(path, objects)
