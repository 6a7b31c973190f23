"""From a path to a `Sheet`: its bytes, their text, and the format that recognises it.

Nothing is interpreted here but the layout. What a column means is `roles`, what a cell is worth
`cells`.
"""

import gzip
import zlib
from pathlib import Path

from analysis.tables import delimited, exports, records
from analysis.tables.sheets import Sheet

FORMATS = (records,)  # the first that recognises a text reads it; `delimited` what none does
BINARY = {
    b"PK\x03\x04": "a zip archive or an Excel workbook",
    b"PAR1": "a Parquet file",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"%PDF": "a PDF",
    b"\x93NUMPY": "a NumPy array",
    b"\x89HDF": "an HDF5 file",
    b"\xfd7zXZ": "an xz archive",
    b"BZh": "a bzip2 archive",
    b"\x28\xb5\x2f\xfd": "a zstandard archive",
    b"SQLite": "a SQLite database",
    b"\x80\x04\x95": "a Python pickle",
    b"ARROW1": "an Arrow file",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
}


def load(path: Path) -> Sheet:
    """The file's cells.

    Raises:
      ValueError: one message naming file and line or row, what was found and what to do.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror or error})") from None
    text = decode(path, data)
    if not text.strip():
        raise ValueError(f"{path}: the file is empty; it needs a header and a row for every run")
    layout = next((each for each in FORMATS if each.recognises(path, text)), delimited)
    return exports.lengthen(path, layout.read(path, text))


def decode(path: Path, data: bytes) -> str:
    """Text of UTF-8 or UTF-16 (with its mark), unpacked where it is gzip."""
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"{path}: is a broken gzip file ({error}); pack it again") from None
    for magic, kind in BINARY.items():
        if data.startswith(magic):
            raise ValueError(f"{path}: is {kind}, not a table of text; save the table as CSV")
    try:
        text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ValueError(
            f"{path}, line {line}: byte {data[error.start]:#04x} is not UTF-8 text; "
            "save the table as UTF-8 CSV"
        ) from None
    if "\x00" in text:
        line = text[: text.index("\x00")].count("\n") + 1
        raise ValueError(
            f"{path}, line {line}: holds a NUL byte, so it is no text in UTF-8; save the table as UTF-8 CSV"
        )
    return text
