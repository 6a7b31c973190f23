"""One self-contained HTML page: what was found, how sure it is, and from which runs.

A pure function of tables and fits. Every word that comes from a table is escaped.
"""

import base64
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from analysis.audit.audit import Audit
from analysis.figures import plot_audit, plot_fit, plot_frontier, plot_isoflop
from analysis.figures.words import human
from analysis.fitting import Band, Fit
from analysis.frontiers import Frontier, Isoflop, convention, describe_agreement
from analysis.headline import Headline, choose
from analysis.tables.runs import Runs

STYLE = """
:root { color-scheme: light dark; --ink: #1f2328; --soft: #59636e; --line: #d8dee4; --tint: #f6f8fa;
        --bg: #fff }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --soft: #9aa4ae; --line: #30363d; --tint: #161b22; --bg: #0d1117 } }
body { font: 16px/1.55 Georgia, "Times New Roman", serif; color: var(--ink); background: var(--bg);
       max-width: 62rem; margin: 2.5rem auto 5rem; padding: 0 1.25rem }
h1 { font-size: 2rem; line-height: 1.2; margin: 0 0 .6rem }
h2 { font-size: 1.25rem; margin: 2.4rem 0 .6rem; border-bottom: 1px solid var(--line) }
p, li { max-width: 46rem } .intro { color: var(--soft) }
.answer { background: var(--tint); border-left: 4px solid #1b6ca8; padding: .8rem 1.1rem }
.answer p { margin: .35rem 0 } .warn { border-color: #c8553d }
img { max-width: 100%; height: auto; display: block; margin: 1rem 0; background: #fff }
.first { font-size: 1.2rem; font-weight: 600 } summary { cursor: pointer; color: var(--soft) }
p, li, td { overflow-wrap: anywhere }
table { display: block; overflow-x: auto; max-width: 100%; border-collapse: collapse;
        font: 13px/1.45 ui-sans-serif, system-ui, sans-serif;
        font-variant-numeric: tabular-nums; margin: .6rem 0 }
th, td { padding: .25rem .7rem; border-bottom: 1px solid var(--line); text-align: right;
         white-space: nowrap }
th { color: var(--soft); font-weight: 600; background: var(--bg); position: sticky; top: 0 }
td:first-child, th:first-child, .text { text-align: left; vertical-align: top }
td.wrap { white-space: normal; max-width: 44rem }
td small { color: var(--soft) } tr.flagged td { color: #c8553d }
.scroll { overflow: auto; max-height: 34rem; border: 1px solid var(--line) }
code, pre { font: 13px/1.5 ui-monospace, Menlo, Consolas, monospace; background: var(--tint) }
pre { padding: .7rem 1rem; overflow-x: auto }
"""
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">\
<meta name="viewport" content="width=device-width, initial-scale=1">\
<meta http-equiv="Content-Security-Policy" \
content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">\
<title>{title}</title><style>{style}</style></head>
<body>
{body}
</body></html>
"""
LEADING = "run_id status budget params tokens epochs flops loss bits_per_byte seed".split()
MOST_ROWS, MOST_COLUMNS = 500, 16  # of the run table; the rest is counted in words


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
    images: Mapping[str, bytes] | None = None,
    audit: Audit | None = None,
    best: Headline | None = None,
) -> str:
    """The page as HTML text.

    Args:
      runs: the whole table, flagged rows included.
      title, intro, notes: plain text by the caller; `notes` are remarks, one a paragraph.
      fit, isoflop, frontiers: what was found; frontiers are compared in pairs.
      references: lines on the valleys, label -> nats/token.
      command: how to make the page again.
      images: further figures, caption -> SVG bytes, as `picture` gives them.
      audit: what may not be trusted; its headline stands on top, and on every figure unless ok.
      best: the one answer; chosen among `frontiers` when not given.
    """
    fronts, verdict = list(frontiers), audit.badge() if audit else ""
    parts = [f"<h1>{escape(title)}</h1>"]
    if intro:
        parts.append(f'<p class="intro">{escape(intro)}</p>')
    if verdict:
        why = '<a href="#audit">Why</a>'
        parts.append(f'<div class="answer warn"><p><b>{escape(verdict)}.</b> {why}</p></div>')
    parts += [answer(fronts, best or choose(fronts)), warnings(runs, fit, fronts)]
    parts += figures(fit, isoflop, fronts, references, verdict)
    if audit is not None:
        parts += ['<h2 id="audit">Audit: what may not be trusted</h2>', findings(audit)]
        if audit.steps or audit.profiles:
            parts.append(image(picture(plot_audit(audit)), "forecasts and profiles"))
    for caption, data in (images or {}).items():
        parts += [f"<h2>{escape(caption)}</h2>", image(data, caption)]
    if notes:
        parts += ["<h2>Notes</h2>", *map(paragraph, notes)]
    parts += ["<h2>Conventions</h2>", conventions(runs, isoflop, fit, fronts)]
    if command:
        parts += ["<h2>Make this page again</h2>", f"<pre>{escape(command)}</pre>"]
    parts += ["<h2>Runs</h2>", run_table(runs)]
    return PAGE.format(title=escape(title), style=STYLE, body="\n".join(parts))


def figures(fit: Fit | None, iso: Isoflop | None, fronts, references, verdict: str) -> list[str]:
    """The valleys, the frontier and the law, each with its table; the parts that there are."""
    parts = []
    if iso is not None:
        own = next((f for f in fronts if f.method.startswith("isoflop")), None)
        figure = plot_isoflop(iso, own, references, verdict=verdict)
        parts += ["<h2>Valleys at equal compute</h2>", image(picture(figure), "isoFLOP valleys")]
    if fronts:
        parts += ["<h2>The compute-optimal frontier</h2>"]
        parts += [image(picture(plot_frontier(fronts, verdict=verdict)), "frontier"), frontier_table(fronts)]
    if fit is not None:
        parts += ["<h2>The parametric law</h2>", image(picture(plot_fit(fit, verdict)), "fitted law")]
        parts.append(fit_table(fit))
    return parts


def picture(figure) -> bytes:
    buffer = io.BytesIO()
    import matplotlib

    with matplotlib.rc_context({"svg.hashsalt": "page", "svg.fonttype": "none"}):  # same bytes each time
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def image(data: bytes, alt: str) -> str:
    text = base64.b64encode(data).decode()
    return f'<img alt="{escape(alt)}" src="data:image/svg+xml;base64,{text}">'


def paragraph(text: str) -> str:
    return f"<p>{escape(text)}</p>"


def answer(fronts: Sequence[Frontier], best: Headline | None) -> str:
    """The result in words: the one answer, how sure, what next; then every method's own."""
    if best is None:
        none = "No frontier could be made from this table; the notes and warnings say why."
        return f'<div class="answer">{paragraph(none)}</div>'
    first, *others = map(paragraph, best.lines())
    card = first.replace("<p>", '<p class="first">', 1) + "".join(others)
    return (
        f'<div class="answer">{card}<details><summary>Every method</summary>{methods(fronts)}</details></div>'
    )


def methods(fronts: Sequence[Frontier]) -> str:
    """What each method says alone, and whether they agree."""
    lines = []
    for front in fronts:
        a, b = front.params_exponent, front.tokens_exponent
        if not np.isfinite(a.value):
            lines.append(f"By {front.method} there is no exponent: {front.message}.")
            continue
        lines.append(
            f"By {front.method}: params ∝ FLOPs^a with a = {a}, tokens ∝ FLOPs^b with b = {b}; "
            f"ten times the compute wants {10**a.value:.2g} times the parameters and "
            f"{10**b.value:.2g} times the tokens."
        )
    for front in fronts[:1]:
        inside = [i for i, status in enumerate(front.point_status) if status in ("ok", "flat")]
        for i in inside[-1:]:
            n, d, loss = front.params.value[i], front.tokens.value[i], front.loss.value[i]
            lines.append(
                f"At {front.flops[i]:.3g} FLOPs the best model has {human(n)} parameters and sees "
                f"{human(d)} tokens ({d / n:.3g} a parameter), for a loss of {loss:.3f}{front.unit}."
            )
    lines += [describe_agreement(x, y) for i, x in enumerate(fronts) for y in fronts[i + 1 :]]
    return "".join(map(paragraph, lines))


def warnings(runs: Runs, fit: Fit | None, fronts: Sequence[Frontier]) -> str:
    """What may not be trusted; nothing when all is well."""
    lines = []
    if fit is not None and fit.status != "ok":
        lines.append(f"The parametric fit is {fit.status}: {fit.message}.")
    for front in fronts:
        if front.method.startswith("isoflop"):
            if front.status != "ok" or set(front.point_status) - {"ok"}:
                lines.append(f"{front.method} is {front.status}: {front.message}.")
        if not np.isfinite(front.params_exponent.low):
            lines.append(f"{front.method} has no interval.")
    lines += [f"{caution[0].upper()}{caution[1:]}." for caution in (fit.cautions if fit else runs.cautions)]
    reasons = Counter(reason for _, reason in runs.dropped())
    lines += [f"{count} runs are kept out: {reason}." for reason, count in reasons.items()]
    if not lines:
        return ""
    return f'<h2>What to be careful about</h2><div class="answer warn">{"".join(map(paragraph, lines))}</div>'


def findings(audit: Audit) -> str:
    """Everything the audit looked at, worst first."""
    rows = [cells(("", "code", "finding"), "th")]
    for finding in audit.findings:
        code = f'<td class="text">{finding.code}</td><td class="text wrap">{escape(finding.message)}</td>'
        bad = ' class="flagged"' if finding.severity in ("warn", "refuse") else ""
        rows.append(f"<tr{bad}><td>{finding.severity}</td>{code}</tr>")
    return f"<p>{escape(audit.headline())}.</p><table>{''.join(rows)}</table>"


def cells(values: Sequence[str], tag: str = "td") -> str:
    return "<tr>" + "".join(f"<{tag}>{value}</{tag}>" for value in values) + "</tr>"


def frontier_table(fronts: Sequence[Frontier]) -> str:
    rows = [cells(("method", "FLOPs", "params", "tokens", "tokens/param", "loss", "status"), "th")]
    for front in fronts:
        for i, flops in enumerate(front.flops):
            counts = [with_interval(band, i, short) for band in (front.params, front.tokens)]
            ratio = front.tokens.value[i] / front.params.value[i]
            loss = with_interval(front.loss, i, "{:.3f}".format)
            values = (escape(front.method), f"{flops:.3g}", *counts, f"{ratio:.3g}", loss)
            rows.append(cells((*values, escape(front.point_status[i]))))
    return f"<table>{''.join(rows)}</table>"


def with_interval(band: Band, i: int, write) -> str:
    """Number `i` of a band as a cell."""
    value, low, high = (write(end[i]) for end in (band.value, band.low, band.high))
    return value + f" <small>({low}, {high})</small>" * bool(np.isfinite(band.low[i]))


def short(value: float) -> str:
    return human(float(f"{value:.3g}") if abs(value) >= 1000 else value)


def fit_table(fit: Fit) -> str:
    rows = [cells(("parameter", "value", "95 % interval"), "th")]
    for name, value in fit.parameters.items():
        low, high = fit.interval(name)
        ends = f"{low:.5g} to {high:.5g}" if low is not None else "not asked for"
        ends = "fixed" if name in fit.fixed else ends
        rows.append(cells((escape(name), f"{value:.6g}", ends)))
    formula = (type(fit.law).__doc__ or "").split("\n")[0]
    delta = f", delta {fit.objective.delta:g}" if fit.objective.delta else ""
    text = (
        f"{formula} Objective: {fit.objective.name}{delta}, {fit.objective.reduction} over "
        f"{len(fit.runs)} runs = {fit.objective.value:.9g}; rms log residual {fit.rmse:.3g}; "
        f"{fit.starts_agreeing} of {fit.starts} starts agree. Status {fit.status}: {fit.message}."
    )
    return f"{paragraph(text)}<table>{''.join(rows)}</table>"


def conventions(runs: Runs, iso: Isoflop | None, fit: Fit | None, fronts: Sequence[Frontier]) -> str:
    units = convention(runs)
    lines = [f"Table: {runs.source}", f"Units: {units}", *(f"Cost: {front.cost}" for front in fronts)]
    lines += [f"Table: {note}" for note in runs.notes if note not in units]
    if iso is not None:
        if np.isfinite(iso.noise.sigma):
            lines.append(f"Noise of log loss: {iso.noise.sigma:.3g}, from {iso.noise.source}")
        lines += [f"Budgets: {note}" for note in iso.notes]
    kinds = {"none": " was given none", "profile": "'s are by profile likelihood"}
    kind = fit and kinds.get(fit.intervals, f"'s are by {fit.intervals} bootstrap")
    lines.append("Intervals are 95 %" + (f"; the fitted law{kind}" if fit else ""))
    unique = dict.fromkeys(lines)
    return "<ul>" + "".join(f"<li>{escape(line)}.</li>" for line in unique) + "</ul>"


def run_table(runs: Runs) -> str:
    """Every run with its id; columns that never vary are said once."""
    names = [name for name in LEADING if runs.has(name)]
    rest = [n for n in runs.columns if n not in names and n not in runs.roles.values()]
    names += [name for name in rest if len(set(runs.columns[name].tolist())) > 1]
    hidden = max(0, len(names) - MOST_COLUMNS)
    names = names[:MOST_COLUMNS]
    rows = [cells(["row", *(escape(name) for name in names), "flag"], "th")]
    for i in range(min(len(runs), MOST_ROWS)):
        values = [escape(written(runs.column(name)[i])) for name in names]
        line = cells([str(runs.rows[i]), *values, escape(str(runs.reasons[i]))])
        rows.append(line.replace("<tr>", '<tr class="flagged">', 1) if runs.reasons[i] else line)
    text = f"{len(runs)} runs, {len(runs.dropped())} of them flagged."
    if len(runs) > MOST_ROWS:
        text += f" The first {MOST_ROWS} are shown."
    if hidden:
        text += f" {hidden} further columns are in the table itself."
    return f'<p>{text}</p><div class="scroll"><table>{"".join(rows)}</table></div>'


def written(value) -> str:
    if isinstance(value, str):
        return value
    return "" if np.isnan(value) else f"{value:.6g}"
