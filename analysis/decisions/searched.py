"""Plans under any law that gives a loss of params and tokens, by search: what `plans` has in closed form for
Chinchilla's. All draws of a law, and all questions, are searched side by side."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from analysis.frontiers import Cost
from analysis.laws import Array

GOLDEN = (np.sqrt(5) - 1) / 2
SECTIONS, COARSE = (
    45,
    32,
)  # of sizes, to 1e-8 and 1e-5; a loss is flat at its least, so known to their squares
ENDLESS = 1e100  # params or tokens without limit
STEPS = 24  # in which a first root is looked for
MOST = np.log(1e40)  # FLOPs, params or tokens, in logarithms, beyond which a loss is out of reach


@dataclass(frozen=True, eq=False)
class Plan:
    """Models to train, arrays that broadcast. What cannot be reached has params, tokens or loss
    infinite."""

    params: Array
    tokens: Array  # seen in training
    loss: Array  # nats/token
    flops: Array  # of training
    total: Array  # of training and of the tokens served


quiet = np.errstate(all="ignore")  # infinity and NaN are answers here: out of reach, no optimum


@quiet
def make_plan(cost: Cost, params: Array, tokens: Array, loss: Array, serve: float = 0.0) -> Plan:
    params, tokens, loss = np.broadcast_arrays(params, tokens, loss)
    flops = cost.flops(params, tokens)
    total = flops + cost.flops(params, serve / 3) if serve else flops
    return Plan(params, tokens, loss, flops, total)


@quiet
def plan_at_size(law, cost: Cost, flops: Array, params: Array, serve: float = 0.0) -> Plan:
    """Models of `params` that spend `flops` on training and serving; loss is infinite where serving
    alone takes more."""
    tokens = np.maximum(cost.tokens(params, flops) - serve / 3, 0.0)
    return make_plan(cost, params, tokens, law.loss(params, tokens), serve)


@quiet
def optimum(law, cost: Cost, flops: Array, serve: float = 0.0, sections: int = SECTIONS) -> Plan:
    """The plan of least loss whose training and serving cost `flops` together: the law's own optimum, or by
    golden sections of the sizes of one param to one token."""
    flops = np.asarray(flops, float)
    if not serve and hasattr(law, "optimum"):
        params, tokens = law.optimum(flops, cost.k, cost.p)
        return make_plan(cost, params, tokens, law.loss(params, tokens))
    shape = np.broadcast_shapes(np.shape(law.loss(1e8, 1e9)), flops.shape)
    low, high = np.zeros(shape), np.broadcast_to(np.log(flops / cost.k) / cost.p, shape)

    def loss(log_params: Array) -> Array:
        return plan_at_size(law, cost, flops, np.exp(log_params), serve).loss

    left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
    at_left, at_right = loss(left), loss(right)
    for _ in range(sections):
        falls = at_left > at_right
        low, high = np.where(falls, left, low), np.where(falls, high, right)
        new = np.where(falls, low + GOLDEN * (high - low), high - GOLDEN * (high - low))
        at_new = loss(new)
        left, right = np.where(falls, right, new), np.where(falls, new, left)
        at_left, at_right = np.where(falls, at_right, at_new), np.where(falls, at_new, at_left)
    return plan_at_size(law, cost, flops, np.exp((low + high) / 2), serve)


@quiet
def cheapest(law, cost: Cost, loss: Array, serve: float = 0.0) -> Plan:
    """The plan of least training and serving compute that reaches `loss`; infinite below the floor."""
    shape = np.broadcast_shapes(np.shape(law.loss(1e8, 1e9)), np.shape(loss))
    log_flops = first(lambda x: loss - optimum(law, cost, np.exp(x), serve, COARSE).loss, shape)
    best = optimum(law, cost, np.exp(log_flops), serve)
    reached = log_flops < MOST - 1e-6
    sizes = (np.where(reached | np.isnan(n), n, np.inf) for n in (best.params, best.tokens))
    return make_plan(cost, *sizes, loss, serve)


@quiet
def plan_to_loss(law, cost: Cost, loss: Array, params: Array, serve: float = 0.0) -> Plan:
    """Models of `params` trained until `loss`; tokens are infinite where the size cannot."""
    return make_plan(cost, params, reach(lambda tokens: law.loss(params, tokens), loss), loss, serve)


@quiet
def limits(law, loss: Array) -> tuple[Array, Array]:
    """(params, tokens) below which `loss` is out of reach, however many of the other there are."""
    return reach(lambda n: law.loss(n, ENDLESS), loss), reach(lambda d: law.loss(ENDLESS, d), loss)


def reach(falling: Callable[[Array], Array], loss: Array) -> Array:
    """Where a loss that falls in its argument comes down to `loss`; infinite where it never does."""
    shape = np.broadcast_shapes(np.shape(falling(np.float64(1e9))), np.shape(loss))
    found = first(lambda x: loss - falling(np.exp(x)), shape)
    return np.where(found < MOST - 1e-6, np.exp(found), np.inf)


@quiet
def floor(law) -> Array:
    """The loss that no size and no data go below."""
    return law.loss(ENDLESS, ENDLESS)


def first(rising: Callable[[Array], Array], shape: tuple[int, ...]) -> Array:
    """The first logarithm up to `MOST` at which a function comes above zero, `MOST` where it never does: a
    draw of "auto" drifts, so its loss may rise again far out."""
    ends = np.linspace(0.0, MOST, STEPS + 1)
    high = np.full(shape, MOST)
    for end in ends[::-1]:
        high = np.where(rising(np.full(shape, end)) > 0, end, high)
    return root(rising, np.maximum(high - ends[1], 0.0), high)


def root(rising: Callable[[Array], Array], low: Array, high: Array) -> Array:
    """Where a function of arrays, below zero at `low` and above at `high`, is zero: by halving,
    each element on its own, to the precision of float64."""
    low, high = (np.array(end, float) for end in np.broadcast_arrays(low, high))
    for _ in range(60):
        middle = (low + high) / 2
        above = rising(middle) > 0
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return (low + high) / 2
