"""Questions to a fitted law: what to train with a budget, for a loss, with limited data; and what a
planned run will reach. Each gives an `Answer`; the law stands above its draws, all worked out together."""

import numpy as np

from analysis import fitting
from analysis.decisions import plans
from analysis.decisions.answer import Answer, Bands, assumptions, make_answer, plan_bands, to_band
from analysis.decisions.counted import answered, law_with_draws
from analysis.fitting import Band, Fit
from analysis.fitting.band import span
from analysis.frontiers import Cost
from analysis.laws import Array

WASTE = 0.01  # share of compute, and
EXTRA = 0.005  # share of the loss, that a size may lose and still be listed as near enough
MULTIPLES = (0.25, 0.5, 1.0, 2.0, 4.0)
WASTED = "compute wasted: the share that the cheapest plan of the same loss would save"
MULTIPLE = (
    "size × m: that multiple of the size that is the answer, under every draw; the waste at × 1 is what "
    "following it may cost"
)


def least_loss(
    fitted: Fit, cost: Cost, flops: float, serve: float = 0.0, size: float | None = None
) -> Answer:
    """The plan of least loss whose training, and serving of `serve` tokens, costs `flops`; what
    other sizes lose at that budget; and between which sizes next to nothing is lost.

    The sizes tried are multiples, under every draw, of `size` (params, another method's answer) or of the
    fitted optimum, so that the waste at × 1 is what following it may cost.
    """
    law = law_with_draws(fitted)
    best = plans.optimum(law, cost, flops, serve)

    def row(name: str, size: Array) -> tuple[str, Bands]:
        plan = plans.plan_at_size(law, cost, flops, size, serve)
        if not plan.tokens[0, 0] > 0:
            return f"{name}: serving alone is over", {"params": to_band(plan.params)}
        return name, plan_bands(law, cost, plan, serve, best)

    about = None if size is None else plans.plan_at_size(law, cost, flops, np.array([size]), serve)
    middle = best.params[0] if size is None else np.array([size])
    rows = [row(f"size × {m:g}", m * middle) for m in MULTIPLES]
    less = plans.optimum(law, cost, flops * (1 - WASTE), serve).loss
    near = {f"{100 * WASTE:g} % waste": less, f"{100 * EXTRA:g} % loss": best.loss * (1 + EXTRA)}
    for what, loss in near.items():
        smallest, largest = plans.size_range(law, cost, flops, loss, serve)
        rows += [row(f"smallest within {what}", smallest), row(f"largest within {what}", largest)]
    if serve:
        rows.append(("if nothing were served", plan_bands(law, cost, plans.optimum(law, cost, flops))))
    return make_answer(
        fitted,
        law,
        "least loss at a budget" + serving(serve),
        {"budget": flops} | ({"serve": serve} if serve else {}),
        best,
        plan_bands(law, cost, best, serve),
        alternatives=rows,
        assumptions=[*assumptions(fitted, cost, serve), MULTIPLE, WASTED],
        about=about,
    )


def least_compute(fitted: Fit, cost: Cost, loss: float, serve: float = 0.0, overhead: float = 2.0) -> Answer:
    """The plan of least training and serving compute that reaches `loss`; the sizes that reach it
    with `overhead` times that compute; and what is needed at least.

    Draws whose floor is above the target make ends infinite and are counted.

    Raises:
      ValueError: a target at or below the law's floor.
    """
    law = law_with_draws(fitted)
    floor = fitted.law.E if plans.closed(law) else float(plans.searched.floor(law)[0, 0])
    if not loss > floor:
        raise ValueError(below_floor(fitted, loss, floor))
    best = plans.cheapest(law, cost, loss, serve)
    unreachable = np.isinf(best.total)

    def row(name: str, size: Array) -> tuple[str, Bands]:
        return name, plan_bands(law, cost, plans.plan_to_loss(law, cost, loss, size, serve), serve)

    smallest, largest = (
        np.where(unreachable, np.inf, end)
        for end in plans.size_range(law, cost, overhead * best.total, loss, serve)
    )
    params, tokens = plans.limits(law, loss)
    rows = [
        row(f"smallest with {overhead:g} × the compute", smallest),
        row(f"largest with {overhead:g} × the compute", largest),
        ("smallest, with endless tokens", {"params": to_band(params)}),
        ("fewest tokens, endless size", {"tokens": to_band(tokens)}),
    ]
    if serve:
        rows.append(row("cheapest to train alone", plans.cheapest(law, cost, loss).params))
    notes = []
    if unreachable.any():
        notes.append(
            f"{unreachable.sum()} of {answered(law)[1:].sum()} draws have their floor above "
            "the target: there it is out of reach, and intervals hold that as infinite"
        )
    return make_answer(
        fitted,
        law,
        "least compute for a loss" + serving(serve),
        {"target_loss": loss, "overhead": overhead} | ({"serve": serve} if serve else {}),
        best,
        plan_bands(law, cost, best, serve),
        alternatives=rows,
        assumptions=assumptions(fitted, cost, serve),
        notes=notes,
        unreachable_draws=int(unreachable.sum()),
    )


def below_floor(fitted: Fit, loss: float, floor: float) -> str:
    low, high = fitted.interval("E") if "E" in fitted.law.names() and not fitted.forms else (None, None)
    ends = f" (95 % {span(low, high, '{:.4f}'.format, ' to ')[1:-1]})" if low is not None else ""
    return (
        f"target loss {loss:g}{fitted.runs.unit} is not above the fitted floor E = {floor:.4f}"
        f"{ends}: under this law no size and no data reach it. Ask for a higher loss, or add runs "
        "that pin the floor down"
    )


def least_loss_capped(
    fitted: Fit, cost: Cost, flops: float, unique: float, decay: tuple[float, float] = plans.DECAY
) -> Answer:
    """The plan of least loss at a budget with only `unique` tokens of data, which may be repeated.

    `decay`, (R_D*, R_N*), is an assumption, not fitted to these runs: intervals do not hold it.
    """
    law = law_with_draws(fitted)
    if not plans.closed(law):
        return least_loss_repeated(fitted, cost, flops, unique)
    best, free = plans.capped_optimum(law, cost, flops, unique, decay), plans.optimum(law, cost, flops)

    def with_epochs(plan: plans.Plan) -> Bands:
        return plan_bands(law, cost, plan) | {"epochs": to_band(np.maximum(plan.tokens / unique, 1.0))}

    rows = [("with unlimited data", plan_bands(law, cost, free))]
    if best.tokens[0, 0] > unique:
        size = (flops / cost.k / unique) ** (1 / cost.p)
        once = plans.make_plan(cost, size, unique, plans.capped_loss(law, cost, size, unique, unique, decay))
        rows.append(("each token once, larger model", with_epochs(once)))
    if decay == plans.DECAY:
        other = plans.capped_optimum(law, cost, flops, unique, plans.OTHER_DECAY)
        rows.append(("if R_D*, R_N* = {:g}, {:g}".format(*plans.OTHER_DECAY), with_epochs(other)))
    floor = to_band(plans.capped_floor(law, cost, unique, decay))
    rows.append(("with endless compute", {"loss": floor}))
    notes = []
    if best.loss[0, 0] - floor.value < 1e-3 * floor.value:
        notes.append(
            "the data is used up: loss is within 0.1 % of what endless compute reaches, so size "
            "and tokens hardly matter and far less compute does as well"
        )
    source = "as published for C4" if decay == plans.DECAY else "as asked"
    return make_answer(
        fitted,
        law,
        "least loss at a budget with limited data",
        {"budget": flops, "data_cap": unique, "repeat_decay": list(decay)},
        best,
        with_epochs(best) | {"extra_loss": to_band(best.loss - free.loss)},
        alternatives=rows,
        assumptions=[
            *assumptions(fitted, cost, once=False),
            "extra loss: over the best with unlimited data",
            f"repeats wear out with R_D* = {decay[0]:g}, R_N* = {decay[1]:g}, {source} (Muennighoff et "
            "al. 2023), not fitted to this table: intervals do not hold it",
            "R_D* is weakly identified: on the published runs 12 to 400 all fit within 0.3 %",
        ],
        notes=notes,
    )


def least_loss_repeated(fitted: Fit, cost: Cost, flops: float, unique: float) -> Answer:
    """The same under a law that was fitted to repeats, and so says itself how they wear out.

    Raises:
      ValueError: a law that takes no unique tokens.
    """
    if "unique_tokens" not in type(fitted.law).inputs:
        raise ValueError(
            f"{type(fitted.law).__name__} says nothing of repeated tokens, which --data-cap is about; fit "
            "Chinchilla's form, which is then given the published wear, or data-constrained"
        )
    law, endless = law_with_draws(fitted, unique), law_with_draws(fitted)
    best, free = plans.optimum(law, cost, flops), plans.optimum(endless, cost, flops)
    epochs = {"epochs": to_band(np.maximum(best.tokens / unique, 1.0))}
    return make_answer(
        fitted,
        law,
        "least loss at a budget with limited data",
        {"budget": flops, "unique_tokens": unique},
        best,
        plan_bands(law, cost, best) | epochs | {"extra_loss": to_band(best.loss - free.loss)},
        alternatives=[("with unlimited data", plan_bands(endless, cost, free))],
        assumptions=[
            *assumptions(fitted, cost, once=False),
            "extra loss: over the best with unlimited data; repeats wear out as fitted to these runs",
        ],
    )


def planned_run(fitted: Fit, cost: Cost, params: float, tokens: float) -> Answer:
    """The loss expected of one planned run, beside the best of its compute and the cheapest of its
    loss."""
    law = law_with_draws(fitted)
    plan = plans.make_plan(cost, params, tokens, law.loss(params, tokens))
    best = plans.optimum(law, cost, float(plan.flops[0, 0]))
    at = {"params": params, "tokens": tokens, "flops": plan.flops[0, 0], "unique_tokens": tokens}
    prediction = fitting.predict(fitted, **{name: at[name] for name in type(fitted.law).inputs})
    ends = (prediction.value, prediction.run_low, prediction.run_high)
    single = Band(*(float(end[0]) for end in ends))
    return make_answer(
        fitted,
        law,
        "loss of a planned run",
        {"run": [params, tokens]},
        plan,
        plan_bands(law, cost, plan, against=best) | {"run_loss": single},
        alternatives=[
            ("best at the same compute", plan_bands(law, cost, best)),
            ("cheapest of the same loss", plan_bands(law, cost, plans.cheapest(law, cost, plan.loss))),
        ],
        assumptions=[
            *assumptions(fitted, cost),
            WASTED,
            "loss of one run: adds the scatter of single runs, taken from the fit's residuals",
        ],
    )


def serving(serve: float) -> str:
    return f", {serve:.3g} tokens served" if serve else ""
