"""Fits of Chinchilla's law: ours, and other packages' as their authors recommend them for such data."""

import contextlib
import io
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analysis import fitting
from analysis.laws import Chinchilla
from analysis.tables.runs import Runs

BUDGETS = (1e18, 1e21, 1e24)  # FLOPs between which a tool that wants budgets measures a


@dataclass(frozen=True)
class Tool:
    """A package: its fit of (runs) -> law, and its fit with an interval of a, where it has one."""

    name: str
    package: str  # the distribution, "" for our own
    settings: str  # how it is used here, and why
    minimises: str  # huber-log, ls: an objective of ours; or another, in words
    fit: Callable[[Runs], Chinchilla]
    interval: Callable[[Runs, int], tuple[float, float]] | None = None
    once: bool = False  # so slow that one repeat has to do


def ours(runs: Runs) -> Chinchilla:
    return fitting.fit(Chinchilla, runs).law


def ours_interval(runs: Runs, resamples: int) -> tuple[float, float]:
    drawn = fitting.resample(fitting.fit(Chinchilla, runs), resamples)
    a = drawn.law_draws().exponents()[0][:, 0]
    low, high = np.nanpercentile(a, [2.5, 97.5])
    return float(low), float(high)


def simple(runs: Runs, resamples: int = 1):
    """The model of simple-scaling-laws; a row is a run of its own, as its format asks."""
    import polars
    import simple_scaling_laws

    frame = polars.DataFrame(
        {
            "training_run_id": [str(row) for row in runs.rows],
            "model_size__params": runs.params,
            "dataset_size__tokens": runs.tokens,
            "test_loss__nats": runs.loss,
        }
    )
    return simple_scaling_laws.fit(frame, law="separable-power", n_draws=resamples, seed=0)


def simple_fit(runs: Runs) -> Chinchilla:
    model = simple(runs)
    domain = model.observed_domain  # its amplitudes are for sizes over a reference size
    references = np.array([domain[name]["reference"] for name in model.law.predictors])
    raw = model.law.raw_scale_params(model.fits["test_loss__nats"].params, references)
    return Chinchilla(**{name: float(raw[name]) for name in Chinchilla.names()})


def simple_interval(runs: Runs, resamples: int) -> tuple[float, float]:
    from simple_scaling_laws import cost_model

    cost = cost_model("power", k=6.0, a=1.0, b=1.0)
    slopes = simple(runs, resamples).allocation_exponents(BUDGETS, cost, quantiles=[0.025, 0.975])
    low, high = slopes["model_size"].values()
    return low, high


def chinchilla_fit(runs: Runs) -> Chinchilla:
    """The README's grid of 3125 starts, but the paper's Huber loss for its own asymmetric one,
    which fits the floor under the points."""
    from chinchilla import Chinchilla as Peer
    from chinchilla._metrics import log_huber

    def huber(true, predicted):
        return log_huber(true, predicted, delta=1e-3)

    ranges = {"E": (1, 2), "a": (1, 10), "b": (1, 10), "alpha": (0.1, 0.7), "beta": (0.1, 0.7)}
    with tempfile.TemporaryDirectory() as folder:
        rows = zip(6 * runs.params * runs.tokens, runs.params, runs.tokens, runs.loss, strict=True)
        text = "\n".join(",".join(map(repr, map(float, row))) for row in rows)
        Path(folder, "df.csv").write_text(f"C,N,D,loss\n{text}\n")
        grid = {name: np.linspace(*ends, 5) for name, ends in ranges.items()}
        with contextlib.redirect_stdout(io.StringIO()):
            peer = Peer(folder, param_grid=grid, loss_fn=huber, log_level=40)
            peer.fit()
    return Chinchilla(**peer.params)


def vpnls_fit(runs: Runs) -> Chinchilla:
    """As its README fits such points: units of 1e6 and 1e9, Huber in the loss, three digits."""
    from vpnls.api import fit_vpnls, huber

    peer = fit_vpnls(
        runs.params / 1e6, runs.tokens / 1e9, np.array(runs.loss), resolution=0.001, loss=huber(1e-3)
    )
    return Chinchilla(
        E=peer.E, A=peer.A * 1e6**peer.alpha, B=peer.B * 1e9**peer.beta, alpha=peer.alpha, beta=peer.beta
    )


TOOLS = (
    Tool(
        "this project",
        "",
        "defaults: huber-log, delta 1e-3; pairs bootstrap",
        "huber-log",
        ours,
        ours_interval,
    ),
    Tool(
        "simple-scaling-laws",
        "simple-scaling-laws",
        "separable-power; its only objective; wild cluster bootstrap; allocation_exponents",
        "ls",
        simple_fit,
        simple_interval,
    ),
    Tool(
        "chinchilla",
        "chinchilla",
        "README's 3125 starts, BFGS on all cores, log_huber with delta 1e-3",
        "huber-log",
        chinchilla_fit,
        once=True,
    ),
    Tool(
        "vpnls",
        "vpnls",
        "grid of 0.001 in both exponents, huber(1e-3), one process",
        "Huber of the loss itself",
        vpnls_fit,
    ),
)
