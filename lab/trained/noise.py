"""The gradient noise scale of a trained model: how many tokens a batch could hold before more of
them stop helping.

B_simple = tr(Sigma) / |G|^2, in tokens: the variance of the gradient of one token's worth of text
over the square of the mean gradient (McCandlish et al. 2018, arXiv 1812.06162, eq. 2.9). All
weights count alike, as in the paper, whatever the optimiser makes of them. The gradient of a part
is that of its mean loss, and a sequence's tokens share a context, so Sigma is that of whole
sequences, times their length.
"""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from lab.config import ModelConfig, RunConfig
from lab.data import batches
from lab.data.corpora import Corpus
from lab.models import tree
from lab.train import step
from lab.trained.weights import check_tells_all

GROUPS = 16  # of parts, left out in turn for the interval


@dataclass(frozen=True)
class NoiseScale:
    """At the weights given; tokens."""

    tokens: float  # infinite where the mean gradient can't be told from none
    low: float  # 95 % interval, by leaving out each group of parts in turn (jackknife)
    high: float
    used: int  # tokens whose gradients were made


def ratio(sums_GP: np.ndarray, squares_G: np.ndarray, parts: int, each: float) -> float:
    """tr(Sigma) / |G|^2 from gradients of equal parts, both without bias (the paper's appendix
    A.1, with all parts together as the large batch).

    sums_GP: the parts' gradients summed by group; squares_G: their squared norms, summed;
    parts: in each group; each: tokens in a part.
    """
    n = parts * len(sums_GP)
    of_mean = float(((sums_GP.sum(0) / n) ** 2).sum())
    of_part = float(squares_G.sum()) / n
    variance = (of_part - of_mean) * n / (n - 1)  # of a part's gradient
    signal = of_mean - variance / n
    return each * variance / signal if signal > 0 else np.inf


def with_interval(sums_GP: np.ndarray, squares_G: np.ndarray, parts: int, each: int) -> NoiseScale:
    groups = len(sums_GP)
    value = ratio(sums_GP, squares_G, parts, each)
    without = np.array(
        [ratio(np.delete(sums_GP, g, 0), np.delete(squares_G, g), parts, each) for g in range(groups)]
    )
    used = groups * parts * each
    if not np.isfinite([value, *without]).all():
        return NoiseScale(value, 0.0, np.inf, used)
    logs = np.log(without)
    error = np.sqrt((groups - 1) / groups * ((logs - logs.mean()) ** 2).sum())
    within = np.exp(error * stats.t.ppf(0.975, groups - 1))
    return NoiseScale(value, value / within, value * within, used)


@partial(jax.jit, static_argnums=0)
def sum_gradients(
    cfg: ModelConfig, params: tree.Params, tokens_PBL: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """The gradients of parts of B sequences summed, as one vector, and their squared norms
    summed."""
    grad = jax.grad(lambda p, part: step.mean_nats(cfg, p, part))

    def add(total, part):
        gradient = jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(grad(params, part))])
        return (total[0] + gradient, total[1] + gradient @ gradient), None

    zero = jnp.zeros(tree.n_weights(cfg)), jnp.zeros(())
    return jax.lax.scan(add, zero, tokens_PBL)[0]


def noise_scale(
    config: RunConfig, params: tree.Params, corpus: Corpus, sequences: int = 4, parts: int = 16
) -> NoiseScale:
    """Over the text that the run would have trained on next: GROUPS x parts parts of `sequences`
    windows, none of them seen before while a run is shorter than an epoch."""
    check_tells_all(config.model)
    cfg, want = config.model, GROUPS * parts * sequences
    first = -(-config.steps * config.batch_size // want)
    tokens_1TL = batches.batches(
        corpus.train, config.data_seed, first, 1, want, cfg.seq_len, config.data.unique_tokens or None
    )
    tokens_GPBL = tokens_1TL.reshape(GROUPS, parts, sequences, -1)
    params = jax.device_put(params)
    sums, squares = zip(*(sum_gradients(cfg, params, part) for part in tokens_GPBL), strict=True)
    sums_GP, squares_G = np.array(sums, np.float64), np.array(squares, np.float64)
    return with_interval(sums_GP, squares_G, parts, sequences * cfg.seq_len)
