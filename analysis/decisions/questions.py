"""Questions to a fitted law: what to train with a budget, for a loss, with limited data; and what a
planned run will reach. Each gives an `Answer`."""

import numpy as np

from analysis.decisions import plans as decide
from analysis.decisions.answer import Answer, Bands, answer, assumptions, band, bands_of, laws_of
from analysis.decisions.plans import Plan
from analysis.fitting import bootstrap
from analysis.fitting.band import Band
from analysis.fitting.fit import Fit
from analysis.frontiers.costs import Cost

WASTE = 0.01  # share of compute, and
EXTRA = 0.005  # share of the loss, that a size may lose and still be listed as near enough
MULTIPLES = (0.25, 0.5, 1.0, 2.0, 4.0)
WASTED = "compute wasted: the share that the cheapest plan of the same loss would save"
MULTIPLE = (
    "size × m: that multiple of the fitted optimum, under every draw; the waste at × 1 is what "
    "noise in the law may cost whoever follows it"
)


def budget(fitted: Fit, cost: Cost, flops: float, serve: float = 0.0) -> Answer:
    """The plan of least loss whose training, and serving of `serve` tokens, costs `flops`; what
    other sizes lose at that budget; and between which sizes next to nothing is lost.

    The sizes tried are multiples of the fitted optimum under every draw, so that the waste at × 1
    is what noise in the law may cost whoever follows it.
    """
    laws = laws_of(fitted)
    best = [decide.optimum(law, cost, flops, serve) for law in laws]

    def row(name: str, sizes: list) -> tuple[str, Bands]:
        plans = [decide.of_size(law, cost, flops, size, serve) for law, size in zip(laws, sizes, strict=True)]
        if not plans[0].tokens > 0:
            size = band(sizes[0], sizes[1])
            return f"{name}: serving alone is over", {"params": size}
        return name, bands_of(laws, cost, plans, serve, best)

    rows = [row(f"size × {m:g}", [m * best[0].params] * 2) for m in MULTIPLES]
    less = [decide.optimum(law, cost, flops * (1 - WASTE), serve).loss for law in laws]
    more = [plan.loss * (1 + EXTRA) for plan in best]
    for what, losses in ((f"{100 * WASTE:g} % waste", less), (f"{100 * EXTRA:g} % loss", more)):
        ends = [decide.sizes(law, cost, flops, loss, serve) for law, loss in zip(laws, losses, strict=True)]
        for word, sizes in zip(("smallest", "largest"), zip(*ends, strict=True), strict=True):
            rows.append(row(f"{word} within {what}", sizes))
    if serve:
        alone = [decide.optimum(law, cost, flops) for law in laws]
        rows.append(("if nothing were served", bands_of(laws, cost, alone)))
    return answer(
        fitted,
        "least loss at a budget" + serving(serve),
        {"budget": flops} | ({"serve": serve} if serve else {}),
        laws,
        best,
        bands_of(laws, cost, best, serve),
        alternatives=rows,
        assumptions=[*assumptions(fitted, cost, serve), MULTIPLE, WASTED],
    )


def target(fitted: Fit, cost: Cost, loss: float, serve: float = 0.0, overhead: float = 2.0) -> Answer:
    """The plan of least training and serving compute that reaches `loss`; the sizes that reach it
    with `overhead` times that compute; and what is needed at least.

    Draws whose floor is above the target make ends infinite and are counted.

    Raises:
      ValueError: a target at or below the law's floor.
    """
    laws = laws_of(fitted)
    if not loss > fitted.law.E:
        raise ValueError(below_floor(fitted, loss))
    best = [decide.cheapest(law, cost, loss, serve) for law in laws]

    def row(name: str, sizes: list) -> tuple[str, Bands]:
        plans = [decide.to_loss(law, cost, loss, size, serve) for law, size in zip(laws, sizes, strict=True)]
        return name, bands_of(laws, cost, plans, serve)

    ends = [
        decide.sizes(law, cost, overhead * plan.total, loss, serve)
        for law, plan in zip(laws, best, strict=True)
    ]
    lost = np.isinf(best[1].total)
    rows = []
    for word, sizes in zip(("smallest", "largest"), zip(*ends, strict=True), strict=True):
        sizes = [sizes[0], np.where(lost, np.inf, sizes[1])]
        rows.append(row(f"{word} with {overhead:g} × the compute", sizes))
    least = [decide.limits(law, loss) for law in laws]
    params, tokens = (band(*both) for both in zip(*least, strict=True))
    rows.append(("smallest, with endless tokens", {"params": params}))
    rows.append(("fewest tokens, endless size", {"tokens": tokens}))
    if serve:
        alone = [decide.cheapest(law, cost, loss).params for law in laws]
        rows.append(row("cheapest to train alone", alone))
    notes = []
    if lost.any():
        notes.append(
            f"{lost.sum()} of {np.isfinite(laws[1].E).sum()} draws have their floor E above the "
            "target: there it is out of reach, and intervals hold that as infinite"
        )
    return answer(
        fitted,
        "least compute for a loss" + serving(serve),
        {"target_loss": loss, "overhead": overhead} | ({"serve": serve} if serve else {}),
        laws,
        best,
        bands_of(laws, cost, best, serve),
        alternatives=rows,
        assumptions=assumptions(fitted, cost, serve),
        notes=notes,
        unreachable_draws=int(lost.sum()),
    )


def below_floor(fitted: Fit, loss: float) -> str:
    low, high = fitted.interval("E")
    ends = f" (95 % {low:.4f} to {high:.4f})" if low is not None else ""
    return (
        f"target loss {loss:g} nats/token is not above the fitted floor E = {fitted.law.E:.4f}"
        f"{ends}: under this law no size and no data reach it. Ask for a higher loss, or add runs "
        "that pin the floor down"
    )


def capped(
    fitted: Fit, cost: Cost, flops: float, unique: float, decay: tuple[float, float] = decide.DECAY
) -> Answer:
    """The plan of least loss at a budget with only `unique` tokens of data, which may be repeated.

    `decay`, (R_D*, R_N*), is an assumption, not fitted to these runs: intervals do not hold it.
    """
    laws = laws_of(fitted)
    best = [decide.capped(law, cost, flops, unique, decay) for law in laws]
    free = [decide.optimum(law, cost, flops) for law in laws]

    def epochs(plans: list[Plan]) -> Bands:
        passes = [np.maximum(plan.tokens / unique, 1.0) for plan in plans]
        return bands_of(laws, cost, plans) | {"epochs": band(*passes)}

    rows = [("with unlimited data", bands_of(laws, cost, free))]
    if best[0].tokens > unique:
        size = (flops / cost.k / unique) ** (1 / cost.p)
        losses = [decide.capped_loss(law, cost, size, unique, unique, decay) for law in laws]
        once = [decide.planned(cost, size, unique, loss) for loss in losses]
        rows.append(("each token once, larger model", epochs(once)))
    if decay == decide.DECAY:
        other = [decide.capped(law, cost, flops, unique, decide.OTHER_DECAY) for law in laws]
        rows.append(("if R_D*, R_N* = {:g}, {:g}".format(*decide.OTHER_DECAY), epochs(other)))
    floor = band(*(decide.capped_floor(law, cost, unique, decay) for law in laws))
    rows.append(("with endless compute", {"loss": floor}))
    notes = []
    if best[0].loss - floor.value < 1e-3 * floor.value:
        notes.append(
            "the data is used up: loss is within 0.1 % of what endless compute reaches, so size "
            "and tokens hardly matter and far less compute does as well"
        )
    extra = {"extra_loss": band(*(a.loss - b.loss for a, b in zip(best, free, strict=True)))}
    source = "as published for C4" if decay == decide.DECAY else "as asked"
    said = [
        "extra loss: over the best with unlimited data",
        f"repeats wear out with R_D* = {decay[0]:g}, R_N* = {decay[1]:g}, {source} (Muennighoff et "
        "al. 2023), not fitted to this table: intervals do not hold it",
        "R_D* is weakly identified: on the published runs 12 to 300 all fit within 0.3 %",
    ]
    return answer(
        fitted,
        "least loss at a budget with limited data",
        {"budget": flops, "data_cap": unique, "repeat_decay": list(decay)},
        laws,
        best,
        epochs(best) | extra,
        alternatives=rows,
        assumptions=[*assumptions(fitted, cost, once=False), *said],
        notes=notes,
    )


def run(fitted: Fit, cost: Cost, params: float, tokens: float) -> Answer:
    """The loss expected of one planned run, beside the best of its compute and the cheapest of its
    loss."""
    laws = laws_of(fitted)
    plans = [decide.planned(cost, params, tokens, law.loss(params, tokens)) for law in laws]
    flops = float(plans[0].flops)
    best = [decide.optimum(law, cost, flops) for law in laws]
    same = [decide.cheapest(law, cost, plan.loss) for law, plan in zip(laws, plans, strict=True)]
    said = bootstrap.predict(fitted, params=params, tokens=tokens)
    single = Band(*(float(end[0]) for end in (said.value, said.run_low, said.run_high)))
    scatter = "loss of one run: adds the scatter of single runs, taken from the fit's residuals"
    return answer(
        fitted,
        "loss of a planned run",
        {"run": [params, tokens]},
        laws,
        plans,
        bands_of(laws, cost, plans, against=best) | {"run_loss": single},
        alternatives=[
            ("best at the same compute", bands_of(laws, cost, best)),
            ("cheapest of the same loss", bands_of(laws, cost, same)),
        ],
        assumptions=[*assumptions(fitted, cost), WASTED, scatter],
    )


def serving(serve: float) -> str:
    return f", {serve:.3g} tokens served" if serve else ""
