"""What to train under a fitted law: plans of least loss at a budget, or of least compute at a loss.

A law gives a loss of params and tokens; its fields are numbers, or columns (S, 1) of draws; a
question is a number or an array (K,); answers broadcast to (S, K). Chinchilla's form has closed
answers, every other is searched (`searched`). Compute is k·params^p·(tokens + serve/3): a token
served costs a forward pass, a third of what training on it costs (2N of 6N; Sardana et al. 2023,
arXiv 2401.00448). Roots are searched over log params, all draws side by side, between ends
that are known to hold them.
"""

import numpy as np

from analysis.decisions import searched
from analysis.decisions.searched import Plan, make_plan, plan_at_size, quiet, root
from analysis.frontiers import Cost
from analysis.laws import Array, Chinchilla, DataConstrained

DECAY = (15.387756, 5.309743)  # R_D*, R_N* as published for C4 (Muennighoff et al. 2023)
OTHER_DECAY = (95.4, 1.71)  # fits the same runs no worse: see docs/laws.md


@quiet
def optimum(law: Chinchilla, cost: Cost, flops: Array, serve: float = 0.0) -> Plan:
    """The plan of least loss whose training and serving cost `flops` together.

    Without serving the closed form of Hoffmann et al. 2022, eq. 4, for this cost. With it, the size
    where α·A·N^-α = p·β·B·D^-(β+1)·(D + serve/3); its left side over its right falls in N.
    """
    if not closed(law):
        return searched.optimum(law, cost, flops, serve)
    params, tokens = law.optimum(flops, cost.k, cost.p)
    if not serve:
        return make_plan(cost, params, tokens, law.loss(params, tokens))
    p, alpha, beta = cost.p, law.alpha, law.beta
    most = np.asarray(flops, float) / cost.k  # params^p · (tokens + serve/3)
    level = np.log(p * beta * law.B) - np.log(alpha * law.A)

    def gain(log_params: Array) -> Array:
        both = most * np.exp(-p * log_params)
        left = both - serve / 3
        slope = level + np.log(both) - (beta + 1) * np.log(left) + alpha * log_params
        return np.where(left > 0, slope, np.inf)

    # at the lower end half of the compute or more is training, which bounds the root from below
    half = np.log(1.5 * most / serve) / p
    low = np.minimum(np.log(params) - np.log(2) * (beta + 1) / (alpha + beta * p), half)
    high = np.minimum(np.log(params), np.log(3 * most / serve) / p)
    return plan_at_size(law, cost, flops, np.exp(root(gain, low, high)), serve)


@quiet
def cheapest(law: Chinchilla, cost: Cost, loss: Array, serve: float = 0.0) -> Plan:
    """The plan of least training and serving compute that reaches `loss`; infinite below the floor.

    With r = loss - E and y = log(A·N^-α / B·D^-β), the shortages of size over that of data, all
    plans of that loss are N = (A(1 + e^-y)/r)^(1/α), D = (B(1 + e^y)/r)^(1/β). The cheapest has
    e^y = pβ/α · (1 + serve/3D): closed without serving, else the one root.
    """
    if not closed(law):
        return searched.cheapest(law, cost, loss, serve)
    above = above_floor(law, loss)
    start = np.log(cost.p * law.beta / law.alpha)

    def sides(y: Array) -> tuple[Array, Array]:
        params = (law.A * (1 + np.exp(-y)) / above) ** (1 / law.alpha)
        return params, (law.B * (1 + np.exp(y)) / above) ** (1 / law.beta)

    y = start
    if serve:
        least = (law.B / above) ** (1 / law.beta)
        y = root(
            lambda y: y - start - np.log1p(serve / 3 / sides(y)[1]),
            start + 0 * least,
            start + np.log1p(serve / 3 / least),
        )
    params, tokens = (np.where(above <= 0, np.inf, side) for side in sides(y))  # NaN stays NaN
    return make_plan(cost, params, tokens, loss, serve)


@quiet
def plan_to_loss(law: Chinchilla, cost: Cost, loss: Array, params: Array, serve: float = 0.0) -> Plan:
    """Models of `params` trained until `loss`; tokens are infinite where the size cannot."""
    if not closed(law):
        return searched.plan_to_loss(law, cost, loss, params, serve)
    above = above_floor(law, loss) - law.A * np.asarray(params, float) ** -law.alpha
    tokens = np.where(above <= 0, np.inf, (law.B / above) ** (1 / law.beta))
    return make_plan(cost, params, tokens, loss, serve)


@quiet
def limits(law: Chinchilla, loss: Array) -> tuple[Array, Array]:
    """(params, tokens) below which `loss` is out of reach, however many tokens, or params, there
    are: where E + A·N^-α, or E + B·D^-β, is the loss. Infinite below the floor."""
    if not closed(law):
        return searched.limits(law, loss)
    above = above_floor(law, loss)
    ends = (law.A / above) ** (1 / law.alpha), (law.B / above) ** (1 / law.beta)
    return tuple(np.where(above <= 0, np.inf, end) for end in ends)


@quiet
def size_range(
    law: Chinchilla, cost: Cost, flops: Array, loss: Array, serve: float = 0.0
) -> tuple[Array, Array]:
    """(least, greatest) params with which `flops`, serving included, reach `loss`; NaN where no
    size does. Loss over log params falls to the optimum, and rises from there."""
    best = optimum(law, cost, flops, serve)
    params, tokens = limits(law, loss) if closed(law) else (1.0, 1.0)  # what a search begins at, too
    most = (np.asarray(flops, float) / cost.k / (tokens + serve / 3)) ** (1 / cost.p)

    def short(log_params: Array) -> Array:
        return plan_at_size(law, cost, flops, np.exp(log_params), serve).loss - loss

    middle = np.log(best.params)
    least = root(lambda x: -short(x), np.log(params), middle)
    greatest = root(short, middle, np.log(most))
    reached = best.loss <= np.asarray(loss) * (1 + 1e-12)
    return tuple(np.where(reached, np.exp(end), np.nan) for end in (least, greatest))


@quiet
def wasted_share(law: Chinchilla, cost: Cost, plan: Plan, serve: float = 0.0) -> Array:
    """The share of a plan's compute that the cheapest plan of the same loss would save."""
    share = 1 - cheapest(law, cost, plan.loss, serve).total / plan.total
    return np.where(np.isposinf(plan.loss), 1.0, np.maximum(share, 0.0))


def above_floor(law: Chinchilla, loss: Array) -> Array:
    return np.asarray(loss, float) - law.E


@quiet
def capped_optimum(
    law: Chinchilla, cost: Cost, flops: float, unique: float, decay: tuple[float, float] = DECAY
) -> Plan:
    """The plan of least loss at one budget where only `unique` tokens exist and repeats wear out
    (Muennighoff et al. 2023, arXiv 2305.16264). Where the optimum of unlimited data needs no more
    than that, it is the answer.

    `decay` is (R_D*, R_N*). Under a cost of params^p sizes are counted as params^p, so that the
    size the unique data warrants is the optimum of this cost.
    """
    free = optimum(law, cost, flops)
    worn = worn_law(law, cost, decay)
    size, tokens = worn.optimum(float(flops), unique, cost.k, 1.0)
    shape = np.shape(free.params)
    size, tokens = (np.asarray(each).reshape(shape) for each in (size, tokens))
    fits = free.tokens <= unique
    params = np.where(fits, free.params, size ** (1 / cost.p))
    tokens = np.where(fits, free.tokens, tokens)
    loss = np.where(fits, free.loss, capped_loss(law, cost, params, tokens, unique, decay))
    return make_plan(cost, params, tokens, loss)


@quiet
def capped_loss(law, cost: Cost, params: Array, tokens: Array, unique: float, decay) -> Array:
    """nats/token of any plan under the same assumption as `capped_optimum`."""
    sized = np.asarray(params, float) ** cost.p
    return worn_law(law, cost, decay).loss(sized, tokens, unique)


@quiet
def capped_floor(law: Chinchilla, cost: Cost, unique: float, decay=DECAY) -> Array:
    """nats/token that no compute gets below with `unique` tokens, under the same assumption."""
    worn = worn_law(law, cost, decay)
    warranted = (worn.alpha * law.A / (law.beta * law.B)) ** (1 / worn.alpha)
    size = warranted * unique ** (law.beta / worn.alpha) * (1 + decay[1])
    return law.E + law.A * size**-worn.alpha + law.B * (unique * (1 + decay[0])) ** -law.beta


def closed(law) -> bool:
    """Whether a law is E + A N^-alpha + B D^-beta, by whatever class."""
    return getattr(type(law), "terms", None) == Chinchilla.terms


def worn_law(law: Chinchilla, cost: Cost, decay: tuple[float, float]) -> DataConstrained:
    return DataConstrained(law.E, law.A, law.B, law.alpha / cost.p, law.beta, *decay)
