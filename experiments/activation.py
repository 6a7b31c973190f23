"""What is SwiGLU worth in compute against GELU, at sizes that train in seconds?

Question: on Shakespeare as bytes, how many times the compute of a ladder with GELU is one with SwiGLU worth,
          at equal FLOPs, data order and seeds, each at its own best learning rate?
Command:  python -m lab compare experiments.activation --set model.activation=swiglu
Cost:     60 runs, 1.3e12 FLOPs, about 3 minutes on two cores
Answer:   expected: no difference that so small a ladder could show

The baseline of `lab compare`: GELU (4 D wide) at three budgets, four sizes and two seeds each; the arm has
SwiGLU (8/3 D wide, so about as many weights). Both arms try three rates at the least budget, and more where
an end is best. The second seed came later, for the noise of a row of the atlas: one seed had said .7 (.54 to
1.46), its best size of SwiGLU beyond those trained.
"""

from dataclasses import replace
from pathlib import Path

from analysis.decisions import ladders
from analysis.decisions.compare import compare, trend_word
from analysis.tables import table
from experiments import plain
from lab.config import RunConfig
from lab.plan import arms, grid

BUDGETS = [1e10, 2e10, 4e10]  # training FLOPs
SIZES = 4
SEEDS = (0, 1)
BATCH_TOKENS = 512  # so that the shortest run makes 86 updates


def runs() -> list[RunConfig]:
    models = [replace(model, activation="gelu") for model in plain.models()[:SIZES]]
    cells = grid.isoflop(
        dict.fromkeys(BUDGETS, models), data=plain.text(), optim=plain.optim, batch_tokens=BATCH_TOKENS
    )
    return [replace(cell, seed=seed) for seed in SEEDS for cell in cells]


def compared() -> list[RunConfig]:
    """Both arms as `lab compare` tuned them, whose runs the table holds: at twice the rule's rates."""
    cells = runs()
    swiglu = arms.pair(cells, lambda cell: replace(cell, model=replace(cell.model, activation="swiglu")))
    return arms.with_factor([*cells, *swiglu], 2.0)


def answer(path: Path) -> list[str]:
    """What `lab compare` said of both arms' runs, which the table holds."""
    by = table.read(path).by("activation")
    found = compare(ladders.join(by["gelu"], by["swiglu"], ("GELU", "SwiGLU")), draws=2000)
    rates = {name: by[name].column("learning_rate") / plain.rule(by[name].params) for name in by}
    factors = ", ".join(f"{name} {each.mean():.2g}" for name, each in rates.items())
    best = found.answer.compute
    word = "no difference seen" if best.low <= 1 <= best.high else trend_word(found)
    return [
        f"SwiGLU: {best.value:.3g} ({best.low:.3g}, {best.high:.3g}) × GELU's compute; {word}",
        found.headline,
        f"{found.status}: {found.message}; noise {100 * found.noise:.2g} % of the loss, {found.pairs} pairs",
        f"rates carried up from the least budget, times the plain grid's rule: {factors}",
    ]
