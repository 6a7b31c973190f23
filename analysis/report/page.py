"""The page: its sections in order, and the shell that lets no other script run."""

import base64
import hashlib
import io
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from analysis.audit.audit import Audit
from analysis.figures import plot_audit
from analysis.figures.audit import caption as audit_caption
from analysis.fitting import Fit
from analysis.frontiers import Frontier, Isoflop
from analysis.headline import Headline, choose, is_trusted
from analysis.report import charts, countings, fitted, trained, words
from analysis.report.svg import Chart, chart
from analysis.report.table import run_table
from analysis.report.text import paragraph, text
from analysis.tables.headers import RUN_IDS
from analysis.tables.runs import Runs

HERE = Path(__file__).parent
SCRIPTS = ("words.js", "axes.js", "panel.js", "table.js", "page.js")  # parts of one script, in this order
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">\
<meta name="viewport" content="width=device-width, initial-scale=1">\
<meta http-equiv="Content-Security-Policy" content="\
default-src 'none'; img-src data:; style-src '{style_hash}'; \
script-src '{script_hash}'; base-uri 'none'; form-action 'none'">\
<title>{title}</title><style>{style}</style></head>
<body>
{body}
<div id="tip" role="status" aria-live="polite" hidden></div><script>{script}</script></body></html>
"""
REFUSED = "Not to be relied on, and so not drawn: show it all the same"


def page(
    runs: Runs,
    *,
    title: str,
    intro: str = "",
    fit: Fit | None = None,
    isoflop: Isoflop | None = None,
    frontiers: Sequence[Frontier] = (),
    notes: Sequence[str] = (),
    references: Mapping[str, float] | None = None,
    command: str = "",
    curves: Runs | None = None,
    images: Mapping[str, bytes] | None = None,
    audit: Audit | None = None,
    best: Headline | None = None,
    refused: Sequence[str] = (),
) -> str:
    """The page as HTML text.

    Args:
      runs: the whole table, flagged rows included.
      title, intro, notes: plain text by the caller; `notes` are remarks, one a paragraph.
      fit, isoflop, frontiers: what was found; frontiers are compared in pairs.
      references: lines on the valleys, label -> nats/token.
      command: how to make the page again.
      curves: training curves of the runs.
      images: further figures, caption -> SVG bytes, as `picture` gives them.
      audit: what may not be trusted; its headline stands on top unless ok.
      best: the one answer; chosen among `frontiers` when not given.
      refused: why methods gave nothing, said where there is no answer.

    Raises:
      ValueError: `curves` names no run, or has no loss or no count.
    """
    fronts, parts = list(frontiers), [f"<h1>{text(title)}</h1>"]
    if intro:
        parts.append(f'<p class="intro">{text(intro)}</p>')
    best = best or choose(fronts, audit)
    said = best.refusal if best else ""
    parts.append(words.answer(fronts, best, refused))
    if audit and audit.badge() and not said:
        parts.append(words.warned(audit, best))
    parts.append(words.warnings(runs, fit, fronts, said, audit))
    parts += figures(runs, fit, isoflop, fronts, references, curves)
    if best and best.trusted and fit is not None:
        parts += countings.section(runs, fit)
    if audit is not None:
        parts += ['<h2 id="audit">Audit: what may not be trusted</h2>', words.findings(audit)]
        if audit.steps or audit.profiles:
            parts.append(image(picture(plot_audit(audit)), f"Forecasts and profiles: {audit_caption(audit)}"))
    for caption, data in (images or {}).items():
        parts += [f"<h2>{text(caption)}</h2>", image(data, caption)]
    if notes:
        parts += ["<h2>Notes</h2>", *map(paragraph, notes)]
    parts += ["<h2>Conventions</h2>", words.conventions(runs, isoflop, fit, fronts)]
    if command:
        parts += ["<h2>Make this page again</h2>", f"<pre>{text(command)}</pre>"]
    parts += ["<h2>Runs</h2>", run_table(runs)]
    return document(title, "\n".join(parts))


def figures(runs: Runs, fit, iso: Isoflop | None, fronts, references, curves: Runs | None) -> list[str]:
    """The valleys, the frontier, the law and the curves, each with its table; the parts that there are."""
    places, parts = {int(row): i for i, row in enumerate(runs.rows)}, []
    if iso is not None:
        own = next((f for f in fronts if f.kind == "valleys"), None)
        parts += section("Valleys at equal compute", charts.isoflop_chart(iso, own, references, places))
    if fronts:
        drawn = [chart(charts.frontier_chart(fronts)), words.frontier_table(fronts)]
        parts += ["<h2>The compute-optimal frontier</h2>", *folded(drawn, any(map(is_trusted, fronts)))]
    if fit is not None:
        drawn = [chart(fitted.law_chart(fit, places)), words.fit_table(fit)]
        parts += ["<h2>The parametric law</h2>", *folded(drawn, fit.status not in ("unidentified", "failed"))]
    if iso is None and fit is None and (seen := trained.runs_chart(runs, places)):
        parts += section("What was trained", seen)
    if curves is not None:
        name = next((name for name in RUN_IDS if runs.has(name)), None)
        ids = {label: i for i, label in enumerate(runs.labels(name))} if name else {}
        parts += section("Training curves", trained.curves_chart(curves, ids))
    return parts


def folded(drawn: list[str], trusted: bool) -> list[str]:
    """What is drawn of an answer; out of sight where nobody is to take its lines for a finding."""
    return drawn if trusted else [f"<details><summary>{REFUSED}</summary>", *drawn, "</details>"]


def section(head: str, each: Chart) -> list[str]:
    return [f"<h2>{head}</h2>", chart(each)]


def document(title: str, body: str) -> str:
    """A page of the house around a body; no style or script acts but its own, named by their hashes."""
    style, script = own("page.css"), "".join(map(own, SCRIPTS))
    return PAGE.format(
        title=text(title),
        body=body,
        style=style,
        script=script,
        style_hash=sha256(style),
        script_hash=sha256(script),
    )


@cache
def own(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


def sha256(content: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()


def picture(figure) -> bytes:
    """A figure of Matplotlib as SVG, the same bytes each time."""
    buffer = io.BytesIO()
    import matplotlib

    with matplotlib.rc_context({"svg.hashsalt": "page", "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def image(data: bytes, alt: str) -> str:
    content = base64.b64encode(data).decode()
    drawn = f'<img alt="{text(alt)}" src="data:image/svg+xml;base64,{content}">'
    return f'<div class="picture" tabindex="0" role="region" aria-label="figure">{drawn}</div>'
