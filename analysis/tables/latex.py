r"""LaTeX: the one tabular of a text, as papers' sources have it, without rules, styles and mathematics.

A command that is not known stays in its cell: 3\SI{}{\giga} is no number, and is refused as one.
"""

import re
from pathlib import Path

from analysis.tables import delimited
from analysis.tables.sheets import Sheet, short

TABULAR = re.compile(r"\\begin\{(tabular[*x]?|longtable)\}(.*?)\\end\{\1\}", re.S)
BRACED = r"\{(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*\}"
LAYOUT = re.compile(rf"\s*(?:\[[^\]]*\]\s*)?{BRACED}")  # after \begin{tabular}: {lrr}, [t]{l@{}r}
COMMENT = re.compile(r"(?<!\\)%.*")
RULE = re.compile(
    r"\\(?:toprule|midrule|bottomrule|hline|endhead|endfirsthead|endfoot|endlastfoot"
    r"|(?:cmidrule|cline)(?:\[[^\]]*\])?(?:\([^)]*\))?\{[^}]*\}|(?:addlinespace|specialrule)(?:\[[^\]]*\])?)"
)
SPAN = re.compile(r"\\multi(?:column|row)\b")
ASIDE = re.compile(  # said beside a number, with what it says
    r"\\(?:[hv]?phantom|tnote|textsuperscript|cite[tp]?|footnote|footnotemark|label|[hv]space)\*?"
    r"(?:\[[^\]]*\])?(?:\{[^{}]*\})?|\^\{?\s*(?:[*†‡a-z]|\\dagger|\\ddagger|\\ast)+\s*\}?"
)
SIGNS = {r"\times": "×", r"\cdot": "·", r"\pm": "±", r"\approx": "≈", r"\sim": "~", r"\%": "%", r"\#": "#"}
SIGNS |= {"{,}": ",", "{.}": ".", r"\_": "_", r"\&": "and", "~": " "}
SIGNS |= dict.fromkeys((r"\,", r"\;", r"\!", "$"), "")
STYLED = re.compile(  # \textbf{3.14}
    r"\\(?:text(?:bf|it|sc|tt|rm|sf|normal)?|math(?:bf|rm|it|sf|tt)|emph|underline|uline|bm|boldsymbol|num|mbox)"
    r"\s*\{([^{}]*)\}"
)
STYLE = re.compile(r"\\(?:bf|it|bfseries|itshape|boldmath|bold|small|footnotesize|scriptsize|centering)\b")


def recognises(path: Path, text: str) -> bool:
    return bool(TABULAR.search(text))


def read(path: Path, text: str) -> Sheet:
    """The tabular's cells.

    Raises:
      ValueError: there are several, or a cell spans several rows or columns.
    """
    found = TABULAR.findall(COMMENT.sub("", text))
    if len(found) != 1:
        raise ValueError(
            f"{path}: holds {len(found)} tabulars outside comments; save the one that is meant in a file "
            "of its own"
        )
    ((name, body),) = found
    for _ in range(2 if name[-1] in "*x" else 1):  # a width before the layout
        body = LAYOUT.sub("", body, count=1) if LAYOUT.match(body) else body
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
    cell = STYLE.sub("", ASIDE.sub("", cell))
    for sign, text in SIGNS.items():
        cell = cell.replace(sign, text)
    while (bare := STYLED.sub(r"\1", cell)) != cell:
        cell = bare
    return " ".join(re.sub(r"(?<![\^}])\{([^{}]*)\}", r"\1", cell).split())
