"""A fitted law as a loss of params and tokens, above its draws: what plans are worked out by."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from analysis.decisions.searched import ENDLESS
from analysis.fitting import Fit
from analysis.fitting.prediction import HONEST, drift_beyond
from analysis.frontiers import Cost, fit_cost
from analysis.laws import Array, Law

KNOWN = {"params", "tokens", "flops", "unique_tokens"}


@dataclass(frozen=True, eq=False)
class Counted:
    """A law that takes in more than params and tokens: flops are those of the `cost`, and unique tokens all,
    or as many as there are."""

    law: Law
    cost: Cost
    unique: float = np.inf

    def loss(self, params: Array, tokens: Array) -> Array:
        at = {"params": params, "tokens": tokens, "flops": self.cost.flops(params, tokens)}
        at["unique_tokens"] = np.minimum(tokens, self.unique)
        return self.law.loss(*(at[name] for name in type(self.law).inputs))


@dataclass(frozen=True, eq=False)
class CountedOptimum(Counted):
    """The same of a law that knows its optimum."""

    def optimum(self, flops: Array, k: float, p: float) -> tuple[Array, Array]:
        return self.law.optimum(flops, k, p)


def counted(law: Law, fitted: Fit, unique: float):
    """A law as a loss of params and tokens, itself where it is one."""
    inputs = set(type(fitted.law).inputs)
    if inputs == {"params", "tokens"}:
        return law
    knows = hasattr(law, "optimum") and "unique_tokens" not in inputs
    return (CountedOptimum if knows else Counted)(law, fit_cost(fitted.runs), unique)


@dataclass(frozen=True, eq=False)
class Weighed:
    """The forms of "auto" as one law (1 + S, 1): their weighted mean of log losses, above draws, each of one
    form drawn by its weight, with a draw of the noise in the law chosen and of the drift beyond the rows; of
    its loss a form and the drift lie a share `HONEST` as far off."""

    fitted: Fit

    @cached_property
    def drawn(self) -> tuple[Array, Array]:
        """The form (S,) of each draw, and its drift (S,) in standard deviations."""
        rng, count = np.random.default_rng(0), len(self.fitted.draws)
        weights = [form.weight for form in self.fitted.forms]
        return rng.choice(len(weights), count, p=weights), rng.standard_normal(count)

    @np.errstate(all="ignore")
    def optimum(self, flops: Array, k: float, p: float) -> tuple[Array, Array]:
        """(params, tokens) of the forms' own optima: their weighted mean, and of each draw its form's."""
        forms, draws = self.fitted.forms, self.fitted.draws
        rows = 2 if draws is None else 1 + len(draws)
        shape = rows, *(np.shape(flops)[-1:] or (1,))
        flops, out = np.broadcast_to(np.asarray(flops, float), shape), np.full(shape, np.nan)
        out[0] = sum(f.weight * np.log(f.law.optimum(flops[0], k, p)[0]) for f in forms if f.weight)
        if draws is not None:
            for i in np.unique(self.drawn[0]):
                mine = self.drawn[0] == i
                out[1:][mine] = np.log(forms[i].law.optimum(flops[1:][mine], k, p)[0])
            chosen = (law.optimum(flops[1:], k, p)[0] for law in (self.fitted.law_draws(), self.fitted.law))
            moved, middle = map(np.log, chosen)
            out[1:] += moved - middle
        return np.exp(out), flops / k / np.exp(p * out)

    @np.errstate(all="ignore")
    def loss(self, params: Array, tokens: Array) -> Array:
        forms, draws = self.fitted.forms, self.fitted.draws
        rows = 2 if draws is None else 1 + len(draws)
        shape = rows, *(np.broadcast_shapes(np.shape(params), np.shape(tokens))[-1:] or (1,))
        params, tokens = (np.broadcast_to(np.asarray(each, float), shape) for each in (params, tokens))
        weights = np.array([form.weight for form in forms])
        said = np.zeros((len(forms), *shape))
        for form, here in zip(forms, said, strict=True):
            here[...] = np.log(form.law.loss(params, tokens)) if form.weight else 0.0
        out = np.tensordot(weights, said, 1)
        if draws is None:
            out[1:] = np.nan
            return np.exp(out)
        below, (picks, drifts) = (params[1:], tokens[1:]), self.drawn
        place = np.maximum(*below) < ENDLESS
        far = np.where(place, drift_beyond(self.fitted, below), 0.0)
        doubt = said[picks, np.arange(1, rows)] - out[1:] + drifts[:, None] * far
        moved = np.log(self.fitted.law_draws().loss(*below)) - np.log(self.fitted.law.loss(*below))
        out[1:] += HONEST * doubt + moved
        return np.exp(out)


@dataclass(frozen=True, eq=False)
class First:
    """The law itself of a law above its draws."""

    drawn: Weighed

    def optimum(self, flops: Array, k: float, p: float) -> tuple[Array, Array]:
        return tuple(side[0] for side in self.drawn.optimum(flops, k, p))

    def loss(self, params: Array, tokens: Array) -> Array:
        return self.drawn.loss(params, tokens)[0]


def law_with_draws(fitted: Fit, unique: float = np.inf):
    """The fitted law above its draws, fields (1 + S, 1): NaN where a draw has an exponent that is
    not above zero, and so no optimum. Without draws, one draw that is NaN.

    Raises:
      ValueError: a law of more than params, tokens, flops and unique tokens.
    """
    kind = type(fitted.law)
    if fitted.forms:
        return Weighed(fitted)
    if further := [name for name in kind.inputs if name not in KNOWN]:
        raise ValueError(
            f"{kind.__name__} takes in {' and '.join(further)}, of which a plan says nothing; fit a law of "
            "params and tokens, such as Chinchilla's"
        )
    if kind.output != "loss":
        raise ValueError(f"{kind.__name__} gives {kind.output}, and a plan needs a law of the loss")
    names = list(fitted.law.names())
    draws = np.full((1, len(names)), np.nan) if fitted.draws is None else fitted.draws
    falling = [i for i, name in enumerate(names) if name in ("alpha", "beta")]
    if falling:
        draws = np.where(draws[:, falling].min(1, keepdims=True) > 0, draws, np.nan)
    law = kind(*np.vstack([[getattr(fitted.law, name) for name in names], draws]).T[:, :, None])
    return counted(law, fitted, unique)


def middle(fitted: Fit, unique: float = np.inf):
    """The fitted law without its draws, of losses (K,)."""
    return First(Weighed(fitted)) if fitted.forms else counted(fitted.law, fitted, unique)


def answered(law) -> Array:
    """Which rows (1 + S,) of a law above its draws say anything."""
    return np.isfinite(law.loss(1e8, 1e9)).reshape(-1)
