"""Which rows are alike: the values of columns as codes and as text."""

from collections.abc import Iterable

import numpy as np


def written(value) -> str:
    """A cell as text; "" where it is empty."""
    if isinstance(value, float):
        return "" if value != value else f"{value:.15g}"
    return str(value).strip()


def distinct(column: np.ndarray) -> list[str]:
    """The values of a column (R,) as text, without the empty ones: text in order of first sight."""
    values = column if column.dtype == object else np.unique(column[~np.isnan(column)])
    return [text for text in dict.fromkeys(map(written, values.tolist())) if text]


def codes(column: np.ndarray) -> np.ndarray:
    """Whole numbers (R,) that are equal where values are; -1 where one is missing."""
    if column.dtype != object:
        return np.where(np.isnan(column), -1, np.unique(column, return_inverse=True)[1])
    cells, known = column.tolist(), {"": -1}
    code = {cell: known.setdefault(written(cell), len(known) - 1) for cell in dict.fromkeys(cells)}
    return np.fromiter(map(code.__getitem__, cells), int, len(cells))


def paired(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Codes (R,) from 0 of pairs of codes (R,)."""
    pairs = first * (second.max(initial=0) + 2) + second + 1
    return np.unique(pairs, return_inverse=True)[1]


def combined(columns: Iterable[np.ndarray], size: int) -> np.ndarray:
    """Codes (R,) from 0 of rows that are equal where they are equal in every column (R,)."""
    code = np.zeros(size, int)
    for column in columns:
        code = paired(code, codes(column))
        if code.max(initial=0) == size - 1:  # no two are equal
            break
    return code


def earliest(code: np.ndarray) -> np.ndarray:
    """The place (R,) of the first row of each row's kind: equal for columns that part rows alike."""
    _, first, inverse = np.unique(code, return_index=True, return_inverse=True)
    return first[inverse]


def clusters(values: np.ndarray, apart: float) -> np.ndarray:
    """Levels (R,) numbered from 0 of positive values (R,): equal within a gap `apart` in ln."""
    order = np.argsort(values, kind="stable")
    label = np.empty(len(values), int)
    label[order] = np.concatenate([[0], np.cumsum(np.diff(np.log(values[order])) > apart)])
    return label
