"""A small language of row filters, parsed into a mask; nothing of it is ever run as code.

    subset == 'hot' and (outlier == 0 or not loss > 4)

Columns are bare names, or `backquoted names` where they hold spaces. Comparisons chain
(`1e6 <= params < 1e9`). A comparison with an empty cell is false, except `!=`, which is true.
"""

import operator
import re
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
        if kind in ("name", "symbol") and word in words:
            self.place += 1
            return word
        return None

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
        try:
            if self.take("not"):
                return ~self.negation()
            if self.take("("):
                mask = self.disjunction()
                if not self.take(")"):
                    raise self.error("misses a closing parenthesis")
                return mask
            return self.comparison()
        finally:
            self.depth -= 1

    def comparison(self) -> np.ndarray:
        left, mask, compared = self.value(), np.ones(self.size, bool), False
        while sign := self.take(*COMPARE):
            right = self.value()
            mask &= self.compare(sign, left, right)
            left, compared = right, True
        if not compared:
            raise self.error("expects a comparison (== != < <= > >=)")
        return mask

    def compare(self, sign: str, left, right) -> np.ndarray:
        (a, a_text, a_name), (b, b_text, b_name) = left, right
        if a_text != b_text:
            text, number = (a_name, b_name) if a_text else (b_name, a_name)
            raise self.error(f"compares the text {text} with the number {number}")
        return np.broadcast_to(COMPARE[sign](a, b), (self.size,)).astype(bool)

    def value(self) -> tuple[object, bool, str]:
        """(value or column, whether it is text, how to call it)."""
        kind, word = self.peek()
        self.place += 1
        if kind == "number":
            return float(word), False, word
        if kind == "string":
            return re.sub(r"\\(.)", r"\1", word[1:-1]), True, word
        if kind in ("name", "quoted") and word not in ("and", "or", "not"):
            word = word.strip("`")
            if word not in self.columns:
                self.place -= 1
                known = ", ".join(self.columns)
                raise self.error(f"there is no column {word!r} (columns: {known})")
            column = self.columns[word]
            return column, column.dtype == object, word
        self.place -= 1
        token = "the end" if kind == "end" else repr(word)
        raise self.error(f"expects a column, a number or a quoted text, found {token}")


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


def select(source: str, text: str, columns: Mapping[str, np.ndarray]) -> tuple[np.ndarray, str]:
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
