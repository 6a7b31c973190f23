"""python -m experiments.atlas: write docs/atlas.html, the map of docs/atlas.md that can be asked.

What was changed stands down the side, what it was changed on along the top; each cell holds its questions,
and a press shows the answer and the figure. The page is made from the table of docs/atlas.md and from the
answers' pages, holds no number of its own, loads nothing from outside its checkout, and reads without a
script as the list that it is.
"""

import base64
import hashlib
import os
import re
from dataclasses import dataclass
from html import escape
from pathlib import Path

from experiments.index import HERE
from lab.store.files import replace_file

DOCS = HERE.parent / "docs"
MAP, PAGE = DOCS / "atlas.md", DOCS / "atlas.html"
STYLE = """
:root{color-scheme:light dark;--line:#8888;--own:light-dark(#0b5cad,#7db7f5)}
body{font:16px/1.45 system-ui,sans-serif;max-width:76rem;margin:2rem auto;padding:0 1rem}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%}
th,td{border:1px solid var(--line);padding:.4rem .5rem;text-align:left;vertical-align:top}
thead th,tbody th{white-space:nowrap}td a{display:block;padding:.15rem 0}a{color:var(--own)}
article{border-top:1px solid var(--line);padding:1rem 0;scroll-margin-top:1rem}
h2{margin:.2rem 0}img{max-width:100%;background:#fff}.tags{opacity:.8}
.asked article{display:none}.asked article.shown{display:block}
"""
SCRIPT = """
const shown=()=>{const at=document.getElementById(decodeURIComponent(location.hash.slice(1)));
document.querySelectorAll('article').forEach(a=>a.classList.toggle('shown',a===at));
document.body.classList.toggle('asked',location.hash!=='#all')};
addEventListener('hashchange',shown);shown();
"""


@dataclass(frozen=True)
class Step:
    """A line of the map."""

    name: str
    changed: str
    on: tuple[str, ...]
    question: str
    page: Path

    @property
    def key(self) -> str:
        return re.sub(r"\W+", "-", self.name.lower()).strip("-")

    @property
    def answer(self) -> str:
        """The first line of its page's answer; "" of a page that has none."""
        found = re.search(r"^## Answer.*?\n\n(.+)$", self.page.read_text(encoding="utf-8"), re.M)
        return found[1] if found else ""

    @property
    def figure(self) -> str:
        """Its page's first figure, as the map finds it; "" where there is none."""
        found = re.search(r"!\[.*?\]\((.+?)\)", self.page.read_text(encoding="utf-8"))
        return seen_from_docs(self.page.parent / found[1]) if found else ""


def seen_from_docs(path: Path) -> str:
    return Path(os.path.relpath(path, DOCS)).as_posix()


def steps() -> list[Step]:
    """The lines of the table of docs/atlas.md, in their order."""
    table = MAP.read_text(encoding="utf-8").partition("|---|---|---|---|---|\n")[2].partition("\n\n")[0]
    found = []
    for line in table.splitlines():
        name, changed, on, question, link = (cell.strip() for cell in line.split("|")[1:-1])
        page = DOCS / re.search(r"\((.+?)\)", link)[1]
        found.append(Step(plain(name), changed, tuple(on.split(", ")), question, page))
    return found


def plain(text: str) -> str:
    return re.sub(r"[*`]", "", text)


def marked(text: str) -> str:
    """A line of Markdown as HTML: its links as words, its code as code."""
    words = re.sub(r"\[(.+?)\]\(.+?\)", r"\1", text).replace("**", "")
    return re.sub(r"`(.+?)`", r"<code>\1</code>", escape(words, quote=False))


def html(every: list[Step]) -> str:
    kinds, columns = (
        list(dict.fromkeys(words))
        for words in ((s.changed for s in every), (on for s in every for on in s.on))
    )
    head = "".join(f"<th scope=col>{escape(on)}</th>" for on in columns)
    rows = "".join(
        f"<tr><th scope=row>{escape(kind)}</th>"
        + "".join(
            f"<td>{cell([s for s in every if s.changed == kind and on in s.on])}</td>" for on in columns
        )
        + "</tr>"
        for kind in kinds
    )
    own = f"style-src '{digest(STYLE)}'; script-src '{digest(SCRIPT)}'"
    policy = f"default-src 'none'; img-src 'self' file:; {own}"
    table = f"<table><thead><tr><th></th>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        f"<title>The atlas</title><style>{STYLE}</style></head><body>\n<h1>The atlas</h1>\n"
        "<p>What was changed, down; on what, across. A press shows what was asked, what came out and its "
        'figure; <a href="#all">all of them</a>. Made from <a href="atlas.md">atlas.md</a>.</p>\n'
        f'<div class="wide">{table}</div>\n'
        + "\n".join(map(card, every))
        + f"\n<script>{SCRIPT}</script></body></html>\n"
    )


def cell(some: list[Step]) -> str:
    return "".join(f'<a href="#{step.key}">{escape(step.name)}</a>' for step in some) or "–"


def card(step: Step) -> str:
    name, tags = escape(step.name), escape(f"{step.changed} · {', '.join(step.on)}")
    parts = [f'<h2>{name}</h2><p class="tags">{tags}</p><p>{marked(step.question)}</p>']
    if step.answer:
        parts.append(f"<p><b>{marked(step.answer)}</b></p>")
    if step.figure:
        parts.append(f'<p><img loading="lazy" src="{step.figure}" alt="{name}: its figure"></p>')
    parts.append(f'<p><a href="{seen_from_docs(step.page)}">What was expected, its cost, all numbers</a></p>')
    return f'<article id="{step.key}">{"".join(parts)}</article>'


def digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


if __name__ == "__main__":
    replace_file(PAGE, html(steps()))
    print(f"written: {PAGE}")
