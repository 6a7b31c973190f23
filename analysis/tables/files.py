"""From a path to a `Sheet`: its bytes, their text, and the format that recognises it.

Nothing is interpreted here but the layout. What a column means is `roles`, what a cell is worth
`cells`.
"""

import gzip
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from analysis.tables import delimited, exports, latex, parquet, records
from analysis.tables.sheets import Sheet

FORMATS = (records, latex)  # the first that recognises a text reads it; `delimited` what none does
SUFFIXES = {*records.SUFFIXES, ".csv", ".tsv", ".parquet"}
PIECE, LONGEST, LARGEST = 1 << 24, 1 << 26, 1 << 32  # bytes read at once, of a line, of a file
BINARY = {
    b"PK\x03\x04": "a zip archive or an Excel workbook",
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


def load_all(source: str | Path | Sequence[str | Path]) -> Sheet:
    """The cells of a file, of several, or of all the tables in a folder and those below it.

    Raises:
      ValueError: as `load`; or a folder holds no table.
    """
    paths = [Path(source)] if isinstance(source, str | Path) else [Path(path) for path in source]
    files = [file for path in paths for file in (tables_in(path) if path.is_dir() else [path])]
    if len(files) == 1:
        return load(files[0])
    return exports.together([(file, load(file)) for file in files])


def tables_in(folder: Path) -> list[Path]:
    """The files of tables in a folder, by name; hidden ones and those in hidden folders left out."""
    paths = sorted(path for path in folder.rglob("*") if SUFFIXES & set(path.suffixes) and path.is_file())
    paths = [path for path in paths if not any(part[0] == "." for part in path.relative_to(folder).parts)]
    if not paths:
        raise ValueError(f"{folder}: is a folder without tables ({', '.join(sorted(SUFFIXES))})")
    return paths


def load(path: Path) -> Sheet:
    """The file's cells.

    Raises:
      ValueError: one message naming file and line or row, what was found and what to do.
    """
    try:
        with path.open("rb") as file:
            packed = file.peek(2)[:2] == b"\x1f\x8b"
            data = read_lines(path, gzip.GzipFile(fileobj=file) if packed else file)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{path}: is a broken gzip file ({error}); pack it again") from None
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror or error})") from None
    if data.startswith(b"PAR1"):
        return parquet.read(path, data)
    text = decode(path, data)
    if not text.strip():
        raise ValueError(f"{path}: the file is empty; it needs a header and a row for every run")
    layout = next((each for each in FORMATS if each.recognises(path, text)), delimited)
    return exports.lengthen(path, layout.read(path, text))


def read_lines(path: Path, file: BinaryIO) -> bytes:
    """All bytes of a file, read piece by piece, so that what is no table fills no memory.

    Raises:
      ValueError: a line is too long, or all of it too large.
    """
    pieces, size, line = [], 0, 0
    while piece := file.read(PIECE):
        pieces.append(piece)
        size += len(piece)
        line = len(piece) - 1 - piece.rfind(b"\n") if b"\n" in piece else line + len(piece)
        if line > LONGEST and not pieces[0].startswith(b"PAR1"):
            raise ValueError(
                f"{path}: holds a line of over {LONGEST >> 20} MB, so it is no table; write a line a run"
            )
        if size > LARGEST:
            raise ValueError(f"{path}: holds over {LARGEST >> 30} GB of text; keep the rows that are needed")
    return b"".join(pieces)


def decode(path: Path, data: bytes) -> str:
    """Text of UTF-8 or UTF-16 (with its mark)."""
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
