"""From a grid's runs.csv to its frontier: figures, a page, and the answer in words.

Not an experiment of its own: what any isoFLOP experiment's report(store, out) calls.
"""

from pathlib import Path

from analysis import cost, figures, fit, isoflop, report, table, uncertainty
from analysis import frontier as frontiers
from analysis.laws import Chinchilla

INTRO = (
    "Each point of the valleys below is one Transformer trained from scratch. At every budget of "
    "training compute the sizes share, small models see many tokens and large ones few; the bottom "
    "of each valley is the size that used the compute best. The frontier joins the bottoms."
)


def write(out: Path, title: str, lines: dict[str, float]) -> None:
    """Read `out`/runs.csv; write isoflop.png, frontier.png, law.png and report.html beside it.

    `lines` are losses (nats per token) of other predictors on the same held-out text, drawn with
    the valleys and checked: no cell should lie above "bigram".
    """
    runs = table.read(out / "runs.csv")
    price = cost.of(runs)
    iso = isoflop.optima(runs)
    fitted = uncertainty.pairs(fit.fit(Chinchilla, runs), resamples=1000)
    valley = frontiers.from_isoflop(iso, price)
    parametric = frontiers.from_fit(fitted, price)
    pictures = {
        "isoflop": figures.isoflop(iso, valley, references=lines, title=title),
        "frontier": figures.frontier([valley, parametric]),
        "law": figures.law(fitted),
    }
    for name, figure in pictures.items():
        figure.savefig(out / f"{name}.png")
    notes = checks(runs, lines)
    page = report.page(
        runs, title=title, intro=INTRO, fit=fitted, isoflop=iso, frontiers=(valley, parametric),
        notes=notes, references=lines, command="make run",
    )  # fmt: skip
    (out / "report.html").write_text(page, encoding="utf-8")
    print(f"\n{title}: {len(runs.usable())} runs, {runs.notes[0] if runs.notes else ''}")
    print(f"N = hidden + readout weights; cost {price}")
    for found in (valley, parametric):
        print(f"  {found.method:<28} N ~ C^{found.params_exponent}   D ~ C^{found.tokens_exponent}"
              f"   [{found.status}]")  # fmt: skip
        if found.status != "ok":
            print(f"    {found.message}")
    print(f"  {frontiers.agree(valley, parametric)}")
    for note in notes:
        print(f"  {note}")
    print(f"  page and figures in {out}")


def checks(runs: table.Runs, lines: dict[str, float]) -> list[str]:
    """What must hold for the valleys to mean something, in words."""
    losses = runs.usable().loss
    said = []
    if "bigram" in lines:
        above = int((losses > lines["bigram"]).sum())
        said.append(
            f"every run ends below the bigram's {lines['bigram']:.3f} nats on the same held-out text"
            if not above
            else f"WARNING: {above} runs end above the bigram's {lines['bigram']:.3f} nats: they "
            "have hardly learned, and their cells tell nothing about size"
        )
    for name, level in lines.items():
        if name != "bigram":
            verb = "beats" if losses.min() < level else "does NOT beat"
            said.append(f"the best run, {losses.min():.3f} nats, {verb} {name}'s {level:.3f}")
    return said
