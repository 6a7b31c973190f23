"""What reaches a terminal: text alone. Cells, headers and paths are others' words: marks that would move its
cursor, change its title or turn the direction of writing are shown as what they are."""

import re
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import TextIO

LONGEST = 400  # characters of a word; a longer one is cut
UNUSUAL = re.compile(r"[^\n\t -~]")
MARKS = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # categories of characters that are no letters


def printable(text: str) -> str:
    """The text with marks as escapes (\\x1b, \\u202e), and words of over `LONGEST` characters cut."""
    text = UNUSUAL.sub(lambda found: escaped(found[0]), text)
    return re.sub(rf"\S{{{LONGEST},}}", lambda word: f"{word[0][:100]}…({len(word[0])} characters)", text)


def escaped(character: str) -> str:
    if unicodedata.category(character) in MARKS:
        return character.encode("unicode_escape", "surrogatepass").decode()
    return character


class Printable:
    """A stream to which `printable` text alone is written, in an encoding that may lack letters."""

    def __init__(self, stream: TextIO):
        self.stream = stream

    def write(self, text: str) -> int:
        text = printable(text)
        try:
            return self.stream.write(text)
        except UnicodeEncodeError:
            return self.stream.write(
                text.encode(self.stream.encoding, "backslashreplace").decode(self.stream.encoding)
            )

    def __getattr__(self, name: str):
        return getattr(self.stream, name)


@contextmanager
def text_alone() -> Iterator[None]:
    """Within, nothing but text is printed."""
    with redirect_stdout(Printable(sys.stdout)), redirect_stderr(Printable(sys.stderr)):
        yield
