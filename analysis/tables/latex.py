r"""LaTeX: the one tabular of a text, as papers' sources have it, without rules, commands and mathematics."""

import re
from pathlib import Path

from analysis.tables import delimited
from analysis.tables.sheets import Sheet, short

TABULAR = re.compile(r"\\begin\{(tabular[*x]?|longtable)\}(.*?)\\end\{\1\}", re.S)
LAYOUT = re.compile(r"\s*(\[[^\]]*\]|\{(?:[^{}]|\{[^{}]*\})*\})")  # after \begin{tabular}: {lrr}, {l@{}r}
COMMENT = re.compile(r"(?<!\\)%.*")
RULE = re.compile(
    r"\\(?:toprule|midrule|bottomrule|hline|endhead|endfirsthead|endfoot|endlastfoot"
    r"|(?:cmidrule|cline)(?:\[[^\]]*\])?(?:\([^)]*\))?\{[^}]*\}|(?:addlinespace|specialrule)(?:\[[^\]]*\])?)"
)
SIGNS = {r"\times": "×", r"\cdot": "·", r"\pm": "±", r"\approx": "≈", r"\sim": "~", r"\%": "%", r"\#": "#"}
SIGNS |= {"{,}": ",", r"\,": "", r"\;": "", r"\!": "", r"\_": "_", r"\&": "and", "~": " ", "$": ""}
STYLED = re.compile(r"\\[a-zA-Z]+\s*\{([^{}]*)\}")  # \textbf{3.14}
SPAN = re.compile(r"\\multi(?:column|row)\b")


def recognises(path: Path, text: str) -> bool:
    return bool(TABULAR.search(text))


def read(path: Path, text: str) -> Sheet:
    """The tabular's cells.

    Raises:
      ValueError: there are several, or a cell spans several rows or columns.
    """
    found = [match[2] for match in TABULAR.finditer(COMMENT.sub("", text))]
    if len(found) != 1:
        raise ValueError(
            f"{path}: holds {len(found)} tabulars outside comments; save the one that is meant in a file "
            "of its own"
        )
    body, size = found[0], None
    while (layout := LAYOUT.match(body)) and body != size:
        size, body = body, body[layout.end() :]
    lines = [RULE.sub("", line).strip() for line in re.split(r"\\\\(?:\[[^\]]*\])?|\\tabularnewline\b", body)]
    lines = [line for line in lines if line]
    if spans := [line for line in lines if SPAN.search(line)]:
        raise ValueError(
            f"{path}: {short(spans[0])} spans rows or columns; write the cell once in each, and one line "
            "of header"
        )
    rows = [[plain(cell) for cell in re.split(r"(?<!\\)&", line)] for line in lines]
    return delimited.read(path, "\n".join("\t".join(row) for row in rows) + "\n")


def plain(cell: str) -> str:
    """A cell's text."""
    for sign, text in SIGNS.items():
        cell = cell.replace(sign, text)
    while (bare := STYLED.sub(r"\1", cell)) != cell:
        cell = bare
    cell = re.sub(r"(?<!\^)\{([^{}]*)\}", r"\1", cell)
    return " ".join(re.sub(r"\\[a-zA-Z]+", "", cell).split())
