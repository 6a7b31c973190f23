"""The page's figure of the fitted law under every counting of parameters and FLOPs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis import fitting
from analysis.fitting import Fit
from analysis.fitting.band import NOT
from analysis.frontiers import conventions, fit_cost
from analysis.frontiers.conventions import Convention
from analysis.laws import Array, Chinchilla
from analysis.report.axes import Axis, span
from analysis.report.charts import KINDS, LABELS, axis, place_of, ramp
from analysis.report.svg import Chart, Marks, Panel, chart
from analysis.report.text import paragraph, text
from analysis.report.words import cells, table
from analysis.tables.runs import Runs

MOST = 2000  # runs beyond which the page does without: `analysis ledger` has no limit
TITLE = "The same runs, counted otherwise"
MORE = (
    "N and C are what a study counts as parameters and FLOPs; a press on a counting below the figure hides "
    "its line. With intervals, and by valleys too: analysis ledger."
)


@dataclass(frozen=True, eq=False)
class Counted:
    """The law under a counting: its exponent a of params ∝ FLOPs^a, and its best params along FLOPs."""

    name: str
    status: str
    exponent: float
    flops: Array
    params: Array


def section(runs: Runs, fitted: Fit) -> list[str]:
    """Its parts of the page; none where the table allows one counting alone."""
    if len(runs) > MOST or fitted.status != "ok" or not isinstance(fitted.law, Chinchilla):
        return []
    countings = conventions.by_columns(runs) if runs.has("params") and runs.has("flops") else []
    found = count(countings, fitted)
    usable = sorted((each for each in found if each.status == "ok"), key=lambda each: each.exponent)
    if len(usable) < 2:
        return []
    ends = " to ".join(f"{each.exponent:.3f} ({each.name})" for each in (usable[0], usable[-1]))
    said = f"By the fitted law the exponent a of params ∝ FLOPs^a runs from {ends}."
    parts = [f"<h2>{TITLE}</h2>", paragraph(said), paragraph(MORE)]
    return [*parts, chart(counted_chart(found)), counted_table(found)]


def count(countings: Sequence[Convention], fitted: Fit) -> list[Counted]:
    """The law under each counting, fitted once for each of params, as the table's own `fitted` was."""
    objective, found, fits = fitted.objective, [], {}
    for each in countings:
        if each.params not in fits:
            settings = {"objective": objective.name, "delta": objective.delta or 1e-3}
            try:
                fits[each.params] = fitting.fit(Chinchilla, each.runs, **settings) if fits else fitted
            except ValueError:  # units that are mixed, say, in a column that plays no part elsewhere
                continue
        law, cost, flops = fits[each.params].law, fit_cost(each.runs), each.runs.flops
        grid = np.geomspace(flops.min(), flops.max(), 24)
        best, a = law.optimum(grid, cost.k, cost.p)[0], law.exponents(cost.p)[0]
        found.append(Counted(str(each), fits[each.params].status, float(a), grid, best))
    return found


def counted_chart(found: Sequence[Counted]) -> Chart:
    legend = {each.name: ramp(place_of(k, len(found))) for k, each in enumerate(found)}
    marks = [
        Marks("line", each.flops, each.params, legend[each.name], each.name, words=[each.name])
        for each in found
    ]
    x, y = (np.concatenate([getattr(each, side) for each in found]) for side in ("flops", "params"))
    sizes = Axis(LABELS["params"], *span(y), kind=KINDS["params"])
    words = "; ".join(f"{each.name}: exponent {each.exponent:.3f}" for each in found)
    panel = Panel("Optimal parameters", axis("flops", x), sizes, marks, f"{TITLE}. {words}.")
    return Chart("countings", [panel], "By the fitted law; both axes as each counting has them.", legend)


def counted_table(found: Sequence[Counted]) -> str:
    rows = [cells(("counting", "a, params ∝ FLOPs^a", "status"), "th")]
    told = [f"{each.exponent:.3f}" if each.status == "ok" else NOT for each in found]
    rows += [cells((text(each.name), a, each.status)) for each, a in zip(found, told, strict=True)]
    return table(rows)
