"""Documents that are rows: lines of JSON, tables of Parquet and Arrow, each with its text under a key."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from lab.data.texts import CorpusError


def optional(package: str, path: Path) -> Any:
    try:
        return __import__(package)
    except ImportError as error:
        raise CorpusError(
            f"{path} is read by the package {package}, which is not here: pip install {package} "
            "(the extra `data`)"
        ) from error


def line_texts(path: Path, file: BinaryIO, key: str) -> Iterator[tuple[str, str]]:
    """(number, text) of each line of JSON that has a text."""
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            row = json.loads(line)
        except ValueError as error:
            raise CorpusError(f"{where}: not JSON ({error}); each line is to be one object") from error
        yield f"{number}", text_of(row, key, where)


def text_of(row: Any, key: str, where: str) -> str:
    """A row's text; "" where it is null."""
    if not isinstance(row, dict):
        raise CorpusError(f"{where}: found {type(row).__name__}, and an object with a text is wanted")
    if key not in row:
        raise no_key(where, key, list(row))
    text = row[key]
    if not isinstance(text, str | None):
        raise CorpusError(
            f"{where}: {key!r} holds a {type(text).__name__} and no text; name another key by --text-key"
        )
    return text or ""


def no_key(where: str, key: str, keys: list[str]) -> CorpusError:
    found = ", ".join(map(repr, keys[:20])) or "no keys"
    return CorpusError(
        f"{where}: no key {key!r}; found {found}. Name the one that holds the text by --text-key KEY, or "
        "as text:PATH#KEY"
    )


def table_texts(path: Path, kind: str, key: str) -> Iterator[tuple[str, str]]:
    """(row, text) of a table of Parquet or Arrow."""
    optional("pyarrow", path)
    import pyarrow
    import pyarrow.feather
    import pyarrow.parquet

    def check(names: list[str]) -> None:
        if key not in names:
            raise no_key(str(path), key, names)

    def batches() -> Iterator[Any]:
        if kind == ".parquet":
            table = pyarrow.parquet.ParquetFile(path)
            check(table.schema_arrow.names)
            yield from table.iter_batches(batch_size=1024, columns=[key])
            return
        source = pyarrow.memory_map(str(path))
        try:
            reader = pyarrow.ipc.open_file(source)
            check(reader.schema.names)
            yield from map(reader.get_batch, range(reader.num_record_batches))
        except pyarrow.ArrowInvalid:  # Hugging Face's are streams
            source.seek(0)
            reader = pyarrow.ipc.open_stream(source)
            check(reader.schema.names)
            yield from reader

    number = 0
    try:
        for batch in batches():
            for text in batch.column(batch.schema.get_field_index(key)).to_pylist():
                yield f"{number}", text_of({key: text}, key, f"{path}, row {number}")
                number += 1
    except pyarrow.ArrowInvalid as error:
        raise CorpusError(f"{path} can't be read as {kind[1:]}: {error}") from error
