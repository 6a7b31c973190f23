"""From a grid's runs.csv to its frontier: figures, a page, and the answer in words.

What any isoFLOP experiment's report(store, out) calls.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis import fitting, frontiers, report
from analysis.audit import audit_runs
from analysis.figures import plot_frontier, plot_isoflop, plot_law
from analysis.laws import Chinchilla
from analysis.tables import table

INTRO = (
    "Each point of the valleys below is one Transformer trained from scratch. At every budget of "
    "training compute the sizes share, small models see many tokens and large ones few; the bottom "
    "of each valley is the size that used the compute best. The frontier joins the bottoms."
)


@dataclass(frozen=True)
class Found:
    """What a grid says: its valleys' frontier (approach 2) and its law's (approach 3)."""

    runs: table.Runs
    price: frontiers.Cost
    iso: frontiers.Isoflop
    fitted: fitting.Fit
    valley: frontiers.Frontier
    parametric: frontiers.Frontier


def analyse(runs: table.Runs) -> Found:
    price = frontiers.fit_cost(runs)
    iso = frontiers.find_optima(runs)
    fitted = fitting.intervals(fitting.fit(Chinchilla, runs))
    valley, law = frontiers.from_isoflop(iso, price), frontiers.from_fit(fitted, price)
    return Found(runs, price, iso, fitted, valley, law)


def answer(found: Found) -> list[str]:
    """The exponents with their 95 % intervals, one line a method, and whether they agree."""
    said = [f"{len(found.runs.usable())} runs; N = hidden + readout weights; cost {found.price}"]
    for front in (found.valley, found.parametric):
        said.append(
            f"{front.method:<29} N ~ C^{front.params_exponent}   D ~ C^{front.tokens_exponent}   "
            f"[{front.status}]"
        )
        if front.status != "ok":
            said.append(f"  {front.message}")
    return [*said, frontiers.describe_agreement(found.valley, found.parametric)]


def brief(found: Found, others: Sequence[frontiers.Frontier] = ()) -> str:
    """`answer` in one sentence; `others` are frontiers by other methods."""
    fronts = [found.valley, found.parametric, *others]
    exponents = ", ".join(
        f"{front.params_exponent} by {front.method}" + (f" [{front.status}]" if front.status != "ok" else "")
        for front in fronts
    )
    verdict = (
        frontiers.describe_agreements(fronts)[0].partition(":")[0 if len(fronts) == 2 else 2].strip(" .")
    )
    noise = f"noise between seeds {100 * found.iso.noise.sigma:.2g} %"
    return f"{len(found.runs.usable())} runs; N ~ C^a, a = {exponents}; {verdict}; {noise}"


def write(
    out: Path, title: str, lines: dict[str, float], where: str | None = None, command: str = "make run"
) -> None:
    """Read `out`/runs.csv; write isoflop.png, frontier.png, law.png and report.html beside it.

    `lines` are losses (nats per token) of other predictors on the same held-out text, drawn with
    the valleys and checked: no cell should lie above "bigram". `where` keeps runs of the table that
    are no cells of the grid out.
    """
    found = analyse(table.read(out / "runs.csv", where=where))
    fronts = (found.valley, found.parametric)
    pictures = {
        "isoflop": plot_isoflop(found.iso, found.valley, references=lines, title=title),
        "frontier": plot_frontier(fronts),
        "law": plot_law(found.fitted),
    }
    for name, figure in pictures.items():
        figure.savefig(out / f"{name}.png")
    notes = checks(found.runs, lines)
    page = report.page(
        found.runs,
        title=title,
        intro=INTRO,
        fit=found.fitted,
        isoflop=found.iso,
        frontiers=fronts,
        notes=notes,
        references=lines,
        command=command,
        audit=audit_runs(found.runs, fitted=found.fitted, iso=found.iso),
    )
    (out / "report.html").write_text(page, encoding="utf-8")
    print("\n".join(["", title, *answer(found), *notes, f"page and figures in {out}"]))


def checks(runs: table.Runs, lines: dict[str, float]) -> list[str]:
    """What must hold for the valleys to mean something, in words."""
    losses = runs.usable().loss
    said = []
    if "bigram" in lines:
        above = int((losses > lines["bigram"]).sum())
        said.append(
            f"every run ends below the bigram's {lines['bigram']:.3f} nats, on the same text"
            if not above
            else f"WARNING: {above} runs end above the bigram's {lines['bigram']:.3f} nats: they "
            "have hardly learned, and their cells tell nothing about size"
        )
    for name, level in lines.items():
        if name != "bigram":
            verb = "beats" if losses.min() < level else "does NOT beat"
            said.append(f"the best run, {losses.min():.3f} nats, {verb} {name}'s {level:.3f}")
    return said
