"""What the page says: the answer, what to be careful about, tables of frontier and law, conventions."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from analysis.audit.audit import Audit
from analysis.figures.words import human
from analysis.fitting import Band, Fit
from analysis.fitting.band import determined, span
from analysis.frontiers import Frontier, Isoflop, convention, describe_agreement
from analysis.headline import Headline
from analysis.report.text import paragraph, text
from analysis.tables.runs import Runs

SURE = "Evidence: "  # of a headline, the line on how sure it is


def answer(fronts: Sequence[Frontier], best: Headline | None, refused: Sequence[str] = ()) -> str:
    """The result in words: the one answer, how sure, what next; then every method's own. Where there is none,
    `refused` says why, a reason a method."""
    if best is None:
        none = "No answer: no frontier could be made from this table."
        return card([none, *map(sentence, dict.fromkeys(refused))], kind="answer warn")
    if best.trusted:
        return card([*best.answer(names=False), best.advice()], "Every method", methods(fronts))
    # a number is not to be taken for an answer at a glance
    folded = "".join(map(paragraph, best.answer())) + methods(fronts)
    return card([best.refusal, best.advice()], "What it would say, and every method", folded, "answer warn")


def card(
    lines: Sequence[str], summary: str = "", folded: str = "", kind: str = "answer", large: int = 1
) -> str:
    """Lines of an answer, the first `large` and how sure it is in bold, and what is `folded` below."""
    kinds = dict.fromkeys(range(large), ' class="first"')
    kinds |= {i: ' class="sure"' for i, at in enumerate(lines) if at.startswith(SURE)}
    told = "".join(f"<p{kinds.get(i, '')}>{text(line)}</p>" for i, line in enumerate(lines))
    more = f"<details><summary>{summary}</summary>{folded}</details>" * bool(folded)
    return f'<div class="{kind}">{told}{more}</div>'


def sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:].rstrip('.')}."


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


def warnings(
    runs: Runs, fit: Fit | None, fronts: Sequence[Frontier], said: str = "", audit: Audit | None = None
) -> str:
    """What may not be trusted, but for what is `said` already, by the audit too; nothing when all is well."""
    lines = []
    if fit is not None and fit.status != "ok" and fit.message not in said:
        lines.append(f"The parametric fit is {fit.status}: {fit.message}.")
    for front in fronts:
        if front.kind == "valleys":
            if front.status != "ok" or set(front.point_status) - {"ok"}:
                how = "" if front.status == "ok" else f" is {front.status}"
                lines.append(f"{sentence(front.method)[:-1]}{how}: {front.message}.")
        if not np.isfinite(front.params_exponent.low):
            lines.append(f"{sentence(front.method)[:-1]} has no interval.")
    told = " ".join(each.message for each in audit.findings).casefold() if audit else ""
    cautions = fit.cautions if fit else runs.cautions
    lines += [sentence(caution) for caution in cautions if caution.rstrip(".").casefold() not in told]
    reasons = Counter(reason for _, reason in runs.dropped())
    lines += [f"{count} runs are kept out: {reason}." for reason, count in reasons.items()]
    if not lines:
        return ""
    return f'<h2>What to be careful about</h2><div class="answer warn">{"".join(map(paragraph, lines))}</div>'


def warned(audit: Audit, best: Headline | None = None) -> str:
    """The audit's verdict and its reasons in short, with the way to all of them."""
    reasons = [sentence(each.in_short) for each in audit.findings if each.severity == audit.verdict]
    first = map(paragraph, (best.doubts if best else []) or reasons)
    more = '<p><a href="#audit">More</a></p>'
    return f'<div class="answer warn"><p><b>{text(audit.badge())}.</b></p>{"".join(first)}{more}</div>'


def findings(audit: Audit) -> str:
    """Everything the audit looked at, worst first."""
    rows = ['<tr><th></th><th class="text">code</th><th class="text">finding</th></tr>']
    for finding in audit.findings:
        code = f'<td class="text">{finding.code}</td><td class="text wrap">{text(finding.message)}</td>'
        bad = ' class="flagged"' if finding.severity in ("warn", "refuse") else ""
        rows.append(f"<tr{bad}><td>{finding.severity}</td>{code}</tr>")
    return f"<p>{text(audit.headline())}.</p>{table(rows, 'findings')}"


def table(rows: Sequence[str], kind: str = "") -> str:
    """A small table; its first row is its head."""
    return f'<div class="wide"><table class="{kind}">{"".join(rows)}</table></div>'


def cells(values: Sequence[str], tag: str = "td") -> str:
    return "<tr>" + "".join(f"<{tag}>{value}</{tag}>" for value in values) + "</tr>"


def frontier_table(fronts: Sequence[Frontier]) -> str:
    rows = [cells(("method", "FLOPs", "params", "tokens", "tokens/param", "loss", "status"), "th")]
    for front in fronts:
        for i, flops in enumerate(front.flops):
            counts = [with_interval(band, i, short) for band in (front.params, front.tokens)]
            ratio = front.tokens.value[i] / front.params.value[i]
            edge = front.point_status[i] == "edge"  # of a minimum beyond all sizes no loss was seen
            loss = "–" if edge else with_interval(front.loss, i, "{:.3f}".format)
            values = (text(front.method), f"{flops:.3g}", *counts, f"{ratio:.3g}", loss)
            rows.append(cells((*values, text(front.point_status[i]))))
    return table(rows)


def with_interval(band: Band, i: int, write) -> str:
    """Number `i` of a band as a cell."""
    ends = span(band.low[i], band.high[i], write)
    return determined(band.value[i], write) + f" <small>{ends}</small>" * bool(ends)


def short(value: float) -> str:
    return human(float(f"{value:.3g}") if abs(value) >= 1000 else value)


def fit_table(fit: Fit) -> str:
    rows = [cells(("parameter", "value", "95 % interval"), "th")]
    for name, value in fit.parameters.items():
        low, high = fit.interval(name)
        ends = span(low, high, "{:.5g}".format, " to ")[1:-1] if low is not None else "not asked for"
        ends = "fixed" if name in fit.fixed else ends
        rows.append(cells((text(name), f"{value:.6g}", ends)))
    formula = (type(fit.law).__doc__ or "").split("\n")[0]
    delta = f", delta {fit.objective.delta:g}" if fit.objective.delta else ""
    sentences = (
        f"{formula} Objective: {fit.objective.name}{delta}, {fit.objective.reduction} over "
        f"{len(fit.runs)} runs = {fit.objective.value:.9g}; rms log residual {fit.rmse:.3g}; "
        f"{fit.starts_agreeing} of {fit.starts} starts agree. Status {fit.status}: {fit.message}."
    )
    return f"{paragraph(sentences)}{table(rows)}"


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
    return "<ul>" + "".join(f"<li>{text(line)}.</li>" for line in unique) + "</ul>"
