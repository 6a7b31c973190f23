"""Files that are there whole or not at all, and that show when they were damaged.

Every file is written under another name and then linked or renamed, so a reader finds all of it
or none. A sealed JSON object carries `sha256`: that of the rest of it as JSON with sorted keys and
no spaces. A damaged file is renamed, never deleted, so that someone can look at it. This is the
one place from which `store` writes.
"""

import hashlib
import json
import math
import os
import stat
import unicodedata
import uuid
from pathlib import Path
from typing import Any

MOST_DIGITS = 300  # of a whole number: more leave what a float holds
MARKS = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # categories of characters that are no letters


class StoreError(RuntimeError):
    """A store that can't be written or a file in it that can't be used; says what to do."""


class Damaged(StoreError):
    """A file whose content is not what was once written there."""


def damaged(path: Path, why: str) -> Damaged:
    return Damaged(
        f"{path} is damaged: {why}. Nothing was read from it; `lab run` sets it aside (renamed) "
        "and goes on from the newest checkpoint that is whole"
    )


def sha256(text: str | bytes) -> str:
    return hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()


def seal_of(content: dict[str, Any]) -> str:
    rest = {name: value for name, value in content.items() if name != "sha256"}
    return sha256(json.dumps(rest, sort_keys=True, separators=(",", ":"), allow_nan=False))


def sealed(content: dict[str, Any]) -> dict[str, Any]:
    """The same object with the checksum of its content."""
    return {**content, "sha256": seal_of(content)}


def read_json(path: Path) -> dict[str, Any] | None:
    """A JSON object, or None where there is no file.

    Raises:
      Damaged: it is no JSON object of finite numbers, or not what its checksum was made of.
      StoreError: the system can't read it now; nothing is known of its content.
    """
    try:
        mode = path.stat().st_mode
        if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):  # reading it would wait for ever
            raise damaged(path, "it is no file, but a pipe or a device")
        return parse_json(path, path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(
            f"{path} can't be read: {error}. It may be whole: mend the file system or the "
            "permissions, then try again"
        ) from error


def parse_json(path: Path, content: bytes) -> dict[str, Any]:
    try:
        text = content.decode("utf-8")
        parsed = json.loads(text, parse_constant=refuse_constant, parse_int=whole_number)
    except json.JSONDecodeError as error:
        raise damaged(path, f"line {error.lineno} is not JSON") from error
    except (ValueError, RecursionError) as error:
        raise damaged(path, str(error)[:200]) from error
    if not isinstance(parsed, dict):
        raise damaged(path, "it holds no JSON object")
    if "sha256" in parsed:
        try:
            whole = seal_of(parsed) == parsed["sha256"]
        except (ValueError, RecursionError):  # 1e999 is read as infinite
            whole = False
        if not whole:
            raise damaged(path, "its content does not match its checksum")
    return printable(parsed)


def whole_number(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise ValueError(f"it holds a whole number of {len(digits)} digits")
    return int(digits)


def printable(value: Any) -> Any:
    """A JSON value whose texts can be shown: marks that move a terminal's cursor, change its title or turn
    the direction of writing are escapes. Whatever is read from a store passes here."""
    if isinstance(value, str):
        return value if value.isascii() and value.isprintable() else "".join(map(escaped, value))
    if isinstance(value, list):
        return [printable(part) for part in value]
    return {printable(n): printable(v) for n, v in value.items()} if isinstance(value, dict) else value


def escaped(character: str) -> str:
    if character in "\n\t" or unicodedata.category(character) not in MARKS:
        return character
    return character.encode("unicode_escape", "surrogatepass").decode()


def refuse_constant(word: str) -> None:
    raise ValueError(f"it holds {word}, which is not JSON")


def is_number(value: Any) -> bool:
    """A finite number, and neither true nor false."""
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # of a whole number beyond all floats
        return False


def write_json(path: Path, content: dict[str, Any], *, once: bool = False) -> bool:
    """Write a JSON file atomically; with `once`, only if there is none yet. True if it did."""
    return replace_file(path, json.dumps(content, indent=1, allow_nan=False) + "\n", once=once)


def replace_file(path: Path, content: str | bytes, *, once: bool = False) -> bool:
    temporary = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
    try:
        with temporary.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        (os.link if once else os.replace)(temporary, path)
        return True
    except FileExistsError:  # another writer was first
        return False
    finally:
        temporary.unlink(missing_ok=True)


def set_aside(path: Path, folder: Path, name: str) -> Path:
    """Rename a damaged file or folder to `folder`/damaged-`name`, or -2, -3 ... where taken."""
    for number in range(1, 10_000):
        stem, dot, ending = name.partition(".")
        again = f"-{number}" if number > 1 else ""
        aside = folder / f"damaged-{stem}{again}{dot}{ending}"
        if not aside.exists():
            path.rename(aside)
            return aside
    raise StoreError(f"{folder} is full of damaged files; look at them and delete some")
