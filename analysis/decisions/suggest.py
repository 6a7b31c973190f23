"""Which runs to add so that an asked interval shrinks most for their FLOPs: optimal design under a law.

A run's gain is how much it takes from the variance of the asked number, by the law's slopes and the measured
noise, for each FLOP; runs are taken one after another until the FLOPs are spent. Two things keep the design
from trusting the form: the law has one parameter more than Chinchilla's (gamma of `Joint`, about 1), whose
uncertainty the asked number inherits, and a part of the FLOPs goes to that parameter alone.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from analysis.decisions.arms import ByCounts
from analysis.fitting import Fit, fit
from analysis.fitting.solve import Problem, minimise, slopes
from analysis.frontiers import Cost, fit_cost
from analysis.frontiers.replicates import seed_noise
from analysis.laws import Array, Chinchilla, Joint

FORM = 0.15  # share of the FLOPs that goes to the form
BEND = 0.2  # how far log gamma may lie from 0, a standard deviation
LOOSE = 3.0  # the same of parameters that no run has told anything about
LEAST, GREATEST, USUAL = 0.1, 1.0, 0.35  # exponents that runs of language models have
SEEDS = 3  # runs of one cell at most
MOST = 60  # runs
EPOCHS = 4.0  # of unique tokens, after which a token is no more as good as new
STEPS = 9  # sizes and lengths to choose from, each
SIMULATED = 300
FAR, ENOUGH = (
    5,
    3,
)  # robust standard deviations beyond which a run is no noise, told of so many runs a parameter


@dataclass(frozen=True, eq=False)
class Suggestion:
    """Runs to add, (R,) each: `params`, `tokens`, `flops`, `repeat`, which counts equal cells from 0, and
    `form`, which of them check the form. Of the asked number (for a multiplier and a loss its logarithm),
    half widths of the 95 % interval: `before`, `after`, and `simulated` by refits of drawn losses. `note`
    says what was assumed in the place of a fit."""

    asked: str
    params: Array
    tokens: Array
    flops: Array
    repeat: Array
    form: Array
    value: float
    before: float
    after: float
    simulated: float
    noise: float
    arms: int
    note: str = ""


@dataclass(frozen=True)
class Target:
    """What is asked: exponent, loss or multiplier, the last two at `flops`."""

    name: str
    flops: float

    def numbers(self, cost: Cost, centre: Array) -> Callable[[Array], Array]:
        """The number (S, 1) of a theta (S, P) on centred logarithms: the exponent of params against flops, or
        the log of the least loss; of two arms log κ (up to its linear part)."""

        def of(theta: Array) -> Array:
            E, A, B, alpha, beta = (column[:, None] for column in theta.T[:5])
            if self.name == "exponent":
                return beta / (alpha + cost.p * beta)
            here = best_excess(A, B, alpha, beta, cost, centre, self.flops)
            if self.name == "loss":
                gamma = np.exp(theta[:, 5:6]) if theta.shape[1] > 5 else 1.0
                return np.logaddexp(E, gamma * here)
            dE, dA, dB, dalpha, dbeta = (column[:, None] for column in theta.T[5:10])
            there = best_excess(A + dA, B + dB, alpha + dalpha, beta + dbeta, cost, centre, self.flops)
            room = np.exp(there) + np.exp(E + dE) - np.exp(E)
            return (here - np.log(np.maximum(room, 1e-300))) * (alpha + cost.p * beta) / (alpha * beta)

        return of


def best_excess(A, B, alpha, beta, cost: Cost, centre: Array, flops: float) -> Array:
    """log of the least A N^-alpha + B D^-beta at a compute, all on centred logarithms."""
    c = np.log(flops / cost.k) - cost.p * centre[0] - centre[1]
    with np.errstate(all="ignore"):
        n = (np.log(alpha / (cost.p * beta)) + A - B + beta * c) / (alpha + cost.p * beta)
        return np.logaddexp(A - alpha * n, B - beta * (c - cost.p * n))


@dataclass(frozen=True, eq=False)
class Design:
    """Slopes of log loss (P, R) of runs that are there and of K candidates (P, K), what each of these costs,
    and the asked number's and the form's gradients (P,). With two arms a candidate is a pair of runs, whose
    baseline may be there already: `pair` (P, K) are the slopes of the second run, NaN where there is none."""

    here: Array
    candidates: Array
    pair: Array
    flops: Array
    asked: Array
    form: Array
    prior: Array


def suggest(
    fitted: Fit,
    target: Target,
    flops: float,
    candidates: tuple[Array, Array] | None = None,
    repeats: int = SEEDS,
    seed: int = 0,
) -> Suggestion:
    """Runs that cost `flops` together and shrink the interval of `target` most.

    Args:
      fitted: Chinchilla's law of the runs that there are, of any status.
      candidates: (params, tokens) to choose from, (K,) each; by default sizes and lengths within the table's.
      repeats: runs of one cell at most.

    Raises:
      ValueError: no candidate costs less than `flops`.
    """
    fitted, note = to_plan_by(fitted)
    law, runs = fitted.law, fitted.runs
    cost, noise = fit_cost(runs), noise_of(fitted)
    params, tokens = candidates or grid_of(fitted, cost, flops)
    price = cost.flops(params, tokens)
    logs = np.log([runs.params, runs.tokens])
    centre = logs.mean(1)
    theta = np.log([max(law.E, 1e-3 * runs.loss.min()), law.A, law.B, 1.0, 1.0])
    theta[3:] = law.alpha, law.beta
    theta[1:3] -= theta[3:] * centre
    there = np.log([params, tokens]) - centre[:, None]
    design = make_design(theta, logs - centre[:, None], there, price, target, cost, centre, noise)
    affordable = design.flops <= flops
    if not affordable.any():
        raise ValueError(f"--flops {flops:g}: the least run to add costs {design.flops.min():.3g} FLOPs")
    chosen, form = pick(design, flops, repeats)
    info = design.here @ design.here.T + design.prior
    before, after = (1.96 * spread(each, design.asked) for each in (info, added(info, design, chosen)))
    chosen = np.array(chosen, int)
    simulated = np.nan
    if target.name != "multiplier":
        simulated = simulate(
            theta, logs - centre[:, None], there[:, chosen], target, cost, centre, noise, seed
        )
    repeat = np.array([(chosen[:i] == k).sum() for i, k in enumerate(chosen)], int)
    value = float(target.numbers(cost, centre)(widened(theta, target)[None])[0, 0])
    return Suggestion(
        asked=target.name if target.name == "exponent" else f"{target.name}@{target.flops:.3g}",
        params=params[chosen],
        tokens=tokens[chosen],
        flops=design.flops[chosen],
        repeat=repeat,
        form=np.array(form, bool),
        value=value if target.name == "exponent" else float(np.exp(value)),
        before=before,
        after=after,
        simulated=simulated,
        noise=noise,
        arms=1 + (target.name == "multiplier"),
        note=note,
    )


def to_plan_by(fitted: Fit) -> tuple[Fit, str]:
    """A fit whose exponents are of use; where the runs tell none, one of usual exponents, and a note."""
    exponents = [fitted.law.alpha, fitted.law.beta]
    finite = np.isfinite(list(fitted.parameters.values())).all()
    if finite and LEAST <= min(exponents) <= max(exponents) <= GREATEST:
        return fitted, ""
    usual = fit(Chinchilla, fitted.runs, objective="ls-log", fixed={"alpha": USUAL, "beta": USUAL})
    why = f"the fit is {fitted.status} with exponents {exponents[0]:.2g} and {exponents[1]:.2g}"
    return usual, f"{why}: planned with {USUAL:g} for both"


def noise_of(fitted: Fit) -> float:
    """Of log loss: between seeds where the table has them, or what the fit leaves, whichever is more; without
    the runs beyond `FAR` robust standard deviations, which a robust fit hardly sees, as a diverged seed."""
    gap, count = np.abs(fitted.residuals), len(fitted.law.names()) - len(fitted.fixed)
    near = np.full(len(gap), True)
    if len(gap) >= ENOUGH * count:  # of fewer most lie on the law by its freedom
        near = gap <= max(FAR * 1.4826 * float(np.median(gap)), 1e-12)
    spare = max(near.sum() - count, 1)
    left = float(np.sqrt((gap[near] ** 2).sum() / spare))
    seeds = seed_noise([fitted.runs.select(near)])
    return max(left, seeds.sigma) if seeds.freedom >= 3 else max(left, 1e-5)


def grid_of(fitted: Fit, cost: Cost, flops: float) -> tuple[Array, Array]:
    """Sizes of the table, and lengths between its shortest and twice its longest; none below its smallest
    compute, where no law was seen, and none above `flops` or ten times its largest."""
    runs = fitted.runs
    sizes = np.unique(np.round(np.log(runs.params), 2))
    if len(sizes) > 2 * STEPS:
        sizes = np.linspace(sizes[0], sizes[-1], 2 * STEPS)
    lengths = np.linspace(np.log(runs.tokens.min()), np.log(2 * runs.tokens.max()), STEPS)
    n, d = (np.exp(each.ravel()) for each in np.meshgrid(sizes, lengths, indexing="ij"))
    price = cost.flops(n, d)
    # repeats follow another law
    if runs.has("unique_tokens") and runs.column("unique_tokens").dtype != object:
        d = np.minimum(d, max(np.nanmax(runs.column("unique_tokens")) * EPOCHS, runs.tokens.max()))
        price = cost.flops(n, d)
    keep = (price >= runs.flops.min() * 0.99) & (price <= min(flops, 10 * runs.flops.max()))
    if not keep.any():
        keep = price == price.min()
    return n[keep], d[keep]


def widened(theta: Array, target: Target) -> Array:
    """The parameters of the law that the design takes: `Joint`, or that of two arms."""
    return np.append(theta, np.zeros(5 if target.name == "multiplier" else 1))


def make_design(theta, here, there, price, target: Target, cost: Cost, centre, noise: float) -> Design:
    wide = widened(theta, target)
    ask = lambda t: target.numbers(cost, centre)(t)  # noqa: E731
    asked = slopes(ask, wide[None], np.arange(len(wide)))[0, :, 0]
    prior = np.full(len(wide), LOOSE**-2.0)
    if target.name != "multiplier":
        prior[5], form = BEND**-2.0, np.eye(len(wide))[5]
        slope = lambda logs: Joint.log_predict(wide[None], logs)[1][0] / noise  # noqa: E731
        none = np.full((len(wide), there.shape[1]), np.nan)
        return Design(slope(here), slope(there), none, price, asked, form, np.diag(prior))
    prior[5:] = 1.0, 1.0, 1.0, 0.2**-2, 0.2**-2  # arms of one field are no further apart
    form = np.eye(len(wide))[8]

    def slope(logs: Array, arm: float) -> Array:
        rows = np.vstack([np.full(logs.shape[1], arm), logs])
        return ByCounts.log_predict(wide[None], rows)[1][0] / noise

    gap = np.abs(there[:, :, None] - here[:, None, :]).sum(0).min(1)
    pair = np.where(gap < 0.02, np.nan, slope(there, 0.0))  # trained already
    price = price * np.where(gap < 0.02, 1, 2)
    return Design(slope(here, 0.0), slope(there, 1.0), pair, price, asked, form, np.diag(prior))


def pick(design: Design, flops: float, repeats: int) -> tuple[list[int], list[bool]]:
    """Indices of candidates, one after another by gain for each FLOP, and which of them check the form."""
    info = design.here @ design.here.T + design.prior
    chosen: list[int] = []
    form: list[bool] = []
    counts = np.zeros(len(design.flops), int)
    for goal, until in ((design.asked, (1 - FORM) * flops), (design.form, flops)):
        spent = design.flops[chosen].sum()
        while len(chosen) < MOST:
            open_ = (counts < repeats) & (design.flops <= until - spent)
            if not open_.any():
                break
            gain = np.where(open_, gains(info, design, goal) / design.flops, -1)
            best = int(gain.argmax())
            info = added(info, design, [best])
            chosen.append(best)
            form.append(goal is design.form)
            counts[best] += 1
            spent += design.flops[best]
    if not chosen:  # one run takes it all
        affordable = design.flops <= flops
        chosen, form = [int(np.where(affordable, gains(info, design, design.asked), -1).argmax())], [False]
    return chosen, form


def gains(info: Array, design: Design, goal: Array) -> Array:
    """What each candidate (K,) takes from the variance of a number of gradient `goal`."""
    inverse = np.linalg.inv(info)
    toward, own = inverse @ goal, np.einsum("pk,pq,qk->k", design.candidates, inverse, design.candidates)
    return (toward @ design.candidates) ** 2 / (1 + own)


def added(info: Array, design: Design, chosen) -> Array:
    for k in chosen:
        for slope in (design.candidates[:, k], design.pair[:, k]):
            if np.isfinite(slope).all():
                info = info + np.outer(slope, slope)
    return info


def spread(info: Array, goal: Array) -> float:
    return float(np.sqrt(max(goal @ np.linalg.solve(info, goal), 0)))


def simulate(theta, here, there, target: Target, cost, centre, noise: float, seed: int) -> float:
    """Half width of 95 % of the asked number over refits of Chinchilla's law to losses drawn at the runs that
    there are and those to add."""
    logs = np.concatenate([here, there], 1)
    log_pred = Chinchilla.log_predict(theta[None], logs)[0]
    luck = np.random.default_rng(seed).standard_normal((SIMULATED, logs.shape[1]))
    problem = Problem(Chinchilla, logs, np.exp(log_pred + noise * luck), "ls-log", 1.0, np.arange(5))
    refitted, _ = minimise(problem, np.tile(theta, (SIMULATED, 1)), rounds=30)
    low, high = np.nanpercentile(target.numbers(cost, centre)(refitted), [2.5, 97.5])
    return float(high - low) / 2
