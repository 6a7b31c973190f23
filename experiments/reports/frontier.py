"""From a grid's runs.csv to its frontier: figures, a page, and the answer in words.

What any isoFLOP experiment's report(store, out) calls.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from analysis import fitting, frontiers, headline, report
from analysis.audit import audit_runs
from analysis.figures import plot_frontier, plot_isoflop, plot_law
from analysis.laws import LAWS, Chinchilla
from analysis.tables import table

INTRO = (
    "Each point of the valleys below is one Transformer trained from scratch. At every budget of "
    "training compute the sizes share, small models see many tokens and large ones few; the bottom "
    "of each valley is the size that used the compute best. The frontier joins the bottoms."
)


FORMS = (("chinchilla", "huber-log"), ("chinchilla", "ls-log"), ("joint", "huber-log"))


@dataclass(frozen=True)
class Analysis:
    """What a grid says: its valleys' frontier (approach 2) and its law's (approach 3), and the exponent by
    further ways and forms, where it was asked for them."""

    runs: table.Runs
    price: frontiers.Cost
    iso: frontiers.Isoflop
    fitted: fitting.Fit
    valley: frontiers.Frontier
    parametric: frontiers.Frontier
    others: dict[str, float]  # way or form -> a


def analyse(
    runs: table.Runs, valley: str = "interpolate", objective: str = "huber-log", others: bool = False
) -> Analysis:
    price = frontiers.fit_cost(runs)
    iso = frontiers.find_optima(runs, method=valley)
    fitted = fitting.intervals(fitting.fit(Chinchilla, runs, objective=objective))
    try:
        choice = frontiers.choose_valleys(runs, price, fitted, known=iso)
    except ValueError:  # no way has an exponent
        choice = None
    if choice and choice.chosen.method == valley:  # with the interval that every command gives it
        valleys = choice.frontier
    else:
        valleys = frontiers.from_isoflop(iso, price)
    found = other_exponents(runs, price, choice) if others else {}
    return Analysis(runs, price, iso, fitted, valleys, frontiers.from_fit(fitted, price), found)


def other_exponents(
    runs: table.Runs, price: frontiers.Cost, choice: frontiers.Choice | None
) -> dict[str, float]:
    """The exponent by every defensible way of finding valleys, and by forms and objectives of the law."""
    ways = choice.defensible if choice else ()
    exponents = {f"{way.method} valleys": way.front.params_exponent.value for way in ways}
    for form, objective in FORMS:
        front = frontiers.from_fit(fitting.fit(LAWS[form], runs, objective=objective), price)
        exponents[f"the law {form} ({objective})"] = front.params_exponent.value
    return {name: float(a) for name, a in exponents.items() if np.isfinite(a)}


def systematic(grid: Analysis) -> list[str]:
    """How far ways and forms lie apart, beside the noise: an error of its own, which no interval holds."""
    if not grid.others:
        return []
    values, own = list(grid.others.values()), grid.parametric.params_exponent
    half, noise = np.ptp(values) / 2, (own.high - own.low) / 2
    named = ", ".join(f"{a:.3f} by {name}" for name, a in grid.others.items())
    return [f"way and form: a ± {half:.3f} beside the law's ± {noise:.3f} from noise ({named})"]


def answer(grid: Analysis) -> list[str]:
    """The exponents with their 95 % intervals, one line a method, and whether they agree."""
    lines = [f"{len(grid.runs.usable())} runs; N = hidden + readout weights; cost {grid.price}"]
    for front in (grid.valley, grid.parametric):
        lines.append(
            f"{front.method:<29} N ~ C^{front.params_exponent}   D ~ C^{front.tokens_exponent}   "
            f"[{front.status}]"
        )
        if front.status != "ok":
            lines.append(f"  {front.message}")
    return [*lines, frontiers.describe_agreement(grid.valley, grid.parametric), *systematic(grid)]


def brief(grid: Analysis, others: Sequence[frontiers.Frontier] = ()) -> list[str]:
    """`answer` in a line, and what it rests on; `others` are frontiers by other methods."""
    fronts = [grid.valley, grid.parametric, *others]
    agreement = (
        frontiers.describe_agreements(fronts)[0].partition(":")[0 if len(fronts) == 2 else 2].strip(" .")
    )
    between = "between seeds " if grid.iso.other else "about the joint fit "
    methods = [re.split("[,(]", front.method)[0].strip() for front in fronts]
    values = ", ".join(
        f"{front.params_exponent.value:.3f} by {method}"
        for front, method in zip(fronts, methods, strict=True)
    )
    return [
        f"N ~ C^a: a = {values}; {agreement[0].lower()}{agreement[1:]}",
        *(
            f"{front.method}: a = {front.params_exponent}" + f" [{front.status}]" * (front.status != "ok")
            for front in fronts
        ),
        f"{len(grid.runs.usable())} runs; noise {between}{100 * grid.iso.noise.sigma:.2g} %",
        *systematic(grid),
    ]


def write(
    out: Path,
    title: str,
    references: dict[str, float],
    where: str | None = None,
    command: str = "make run",
    **how: Any,
) -> None:
    """Read `out`/runs.csv; write isoflop.png, frontier.png, law.png and report.html beside it.

    `references` are losses (nats per token) of other predictors on the same held-out text, drawn with
    the valleys and checked: no cell should lie above "bigram". `where` keeps runs of the table that
    are no cells of the grid out; `how` are options of `analyse`.
    """
    grid = analyse(table.read(out / "runs.csv", where=where), **how)
    fronts = (grid.valley, grid.parametric)
    pictures = {
        "isoflop": plot_isoflop(grid.iso, grid.valley, references=references, title=title),
        "frontier": plot_frontier(fronts),
        "law": plot_law(grid.fitted),
    }
    for name, figure in pictures.items():
        figure.savefig(out / f"{name}.png")
    audit = audit_runs(grid.runs, fitted=grid.fitted, iso=grid.iso, valley=grid.valley, law=grid.parametric)
    best, notes = headline.choose(fronts, audit), checks(grid.runs, references)
    if (objective := grid.fitted.objective.name) != "huber-log":
        notes.append(
            f"the law is fitted by {objective}; commands do it by huber-log (--objective {objective})"
        )
    page = report.page(
        grid.runs,
        title=title,
        intro=INTRO,
        fit=grid.fitted,
        isoflop=grid.iso,
        frontiers=fronts,
        notes=[*systematic(grid), *notes],
        references=references,
        command=command,
        audit=audit,
        best=best,
    )
    (out / "report.html").write_text(page, encoding="utf-8")
    first = best.lines() if best else []
    print("\n".join(["", title, *first, "", *answer(grid), *notes, f"page and figures in {out}"]))


def checks(runs: table.Runs, references: dict[str, float]) -> list[str]:
    """What must hold for the valleys to mean something, in words."""
    losses, notes = runs.usable().loss, []
    if "bigram" in references:
        above = int((losses > references["bigram"]).sum())
        notes.append(
            f"every run ends below the bigram's {references['bigram']:.3f} nats, on the same text"
            if not above
            else f"WARNING: {above} runs end above the bigram's {references['bigram']:.3f} nats: they "
            "have hardly learned, and their cells tell nothing about size"
        )
    for name, level in references.items():
        if name != "bigram":
            verb = "beats" if losses.min() < level else "does NOT beat"
            notes.append(f"the best run, {losses.min():.3f} nats, {verb} {name}'s {level:.3f}")
    return notes
