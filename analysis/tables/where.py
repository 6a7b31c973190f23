"""A small language of row filters, parsed into a mask; nothing of it is ever run as code.

    subset == 'hot' and (outlier == 0 or not loss > 4)

Columns are bare names, or `backquoted names` where they hold spaces. Comparisons chain
(`1e6 <= params < 1e9`). A comparison with an empty cell is false, except `!=`, which is true.
"""

import operator
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

COMPARE = {
    "==": operator.eq,
    "=": operator.eq,
    "!=": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
TOKEN = re.compile(
    r"\s*(?:(?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?![\w.]))"
    r"|(?P<string>'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")"
    r"|(?P<quoted>`[^`]+`)"
    r"|(?P<name>[^\W\d]\w*(?:\.\w+)*)"
    r"|(?P<symbol>==|!=|<=|>=|=|<|>|\(|\)))"
)
DEEPEST = 50  # nesting beyond which an expression is refused rather than overflow the stack


@dataclass
class Parser:
    """A recursive-descent parser that holds the text, its tokens and the place it has reached."""

    text: str
    columns: Mapping[str, np.ndarray]
    size: int
    place: int = 0
    depth: int = 0

    def __post_init__(self) -> None:
        self.tokens, at = [], 0
        stripped = self.text.rstrip()
        while at < len(stripped):
            match = TOKEN.match(stripped, at)
            if match is None:
                raise self.error(f"does not understand {stripped[at:].strip()[:20]!r}", at)
            self.tokens.append((match.lastgroup, match.group(match.lastgroup), match.start()))
            at = match.end()

    def error(self, what: str, at: int | None = None) -> ValueError:
        if at is None:
            at = self.tokens[self.place][2] if self.place < len(self.tokens) else len(self.text)
        return ValueError(
            f"--where {self.text!r}, character {at + 1}: {what}; write comparisons such as "
            "\"loss < 4 and subset == 'hot'\""
        )

    def peek(self) -> tuple[str, str]:
        return self.tokens[self.place][:2] if self.place < len(self.tokens) else ("end", "")

    def take(self, *words: str) -> str | None:
        """The next token if it is one of `words` (never a quoted string), else None."""
        kind, word = self.peek()
        if kind not in ("name", "symbol") or word not in words:
            return None
        self.place += 1
        return word

    def parse(self) -> np.ndarray:
        if not self.tokens:
            raise self.error("is empty")
        mask = self.disjunction()
        if self.place < len(self.tokens):
            raise self.error(f"does not expect {self.peek()[1]!r} here")
        return mask

    def disjunction(self) -> np.ndarray:
        mask = self.conjunction()
        while self.take("or"):
            mask = mask | self.conjunction()
        return mask

    def conjunction(self) -> np.ndarray:
        mask = self.negation()
        while self.take("and"):
            mask = mask & self.negation()
        return mask

    def negation(self) -> np.ndarray:
        self.depth += 1
        if self.depth > DEEPEST:
            raise self.error(f"is nested more than {DEEPEST} deep")
        if self.take("not"):
            mask = ~self.negation()
        elif self.take("("):
            mask = self.disjunction()
            if not self.take(")"):
                raise self.error("misses a closing parenthesis")
        else:
            mask = self.comparison()
        self.depth -= 1
        return mask

    def comparison(self) -> np.ndarray:
        mask, compared = np.ones(self.size, bool), False
        left, name, is_text = self.value()
        while sign := self.take(*COMPARE):
            right, other, other_is_text = self.value()
            if is_text != other_is_text:
                text, number = (name, other) if is_text else (other, name)
                raise self.error(f"compares the text {text} with the number {number}")
            mask &= COMPARE[sign](left, right)
            left, name, compared = right, other, True
        if not compared:
            raise self.error("expects a comparison (== != < <= > >=)")
        return mask

    def value(self) -> tuple[object, str, bool]:
        """(value or column, how to call it, whether it is text)."""
        kind, word = self.peek()
        if kind not in ("number", "string", "quoted", "name") or word in ("and", "or", "not"):
            token = "the end" if kind == "end" else repr(word)
            raise self.error(f"expects a column, a number or a quoted text, found {token}")
        if kind == "number":
            value = float(word)
        elif kind == "string":
            value = re.sub(r"\\(.)", r"\1", word[1:-1])
        else:
            word = word.strip("`")
            if word not in self.columns:
                known = [quoted(name) for name in self.columns]
                hint = "; a name of several words stands in backticks, as here" * any("`" in k for k in known)
                raise self.error(f"there is no column {word!r} (columns: {', '.join(known)}{hint})")
            value = self.columns[word]
        self.place += 1
        return value, word, kind == "string" or (kind != "number" and value.dtype == object)


def mask(text: str, columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """The rows (R,) for which `text` is true.

    Args:
      text: the filter.
      columns: by name, each (R,): float64, or object for text.

    Raises:
      ValueError: what is wrong with the filter, and at which character.
    """
    size = len(next(iter(columns.values()))) if columns else 0
    return Parser(text, columns, size).parse()


def select_rows(source: str, text: str, columns: Mapping[str, np.ndarray]) -> tuple[np.ndarray, str]:
    """The places of the rows for which `text` is true, as `mask`, and a note on how many they are.

    Raises:
      ValueError: also where it is true of none.
    """
    kept = mask(text, columns)
    if not kept.any():
        raise ValueError(f"{source}: no row is left by --where {text!r}")
    return np.flatnonzero(kept), f"{kept.sum()} of {len(kept)} rows: {text}"


def quoted(name: str) -> str:
    """A column's name as a filter wants it."""
    return name if name.replace(".", "_").isidentifier() else f"`{name}`"


def condition(name: str, rest: str) -> str:
    """A filter on a column as a shell takes it: backticks stand in single quotes."""
    return shlex.quote(f"{quoted(name)} {rest}")
