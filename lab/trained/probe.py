"""What can be read off a model's states: pooled over a text, by a linear probe, or by one unit of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from scipy import optimize, special

from lab.config import ModelConfig
from lab.data import batches
from lab.models import tree

ROWS = 64  # windows a call
PENALTIES = np.geomspace(1e-1, 1e-4, 7)  # of L1, on features of unit scale, per labelled text
CHOSEN_ON = 5  # every so many-th labelled text chooses among them


def length_of(cfg: ModelConfig) -> int:
    """The tokens of a window that a model reads: all, or an encoder's."""
    return tree.source(cfg) or cfg.seq_len


def pooled(cfg: ModelConfig, params: tree.Params, texts: Sequence[np.ndarray]) -> np.ndarray:
    """The mean of a model's states over each text, (T, D) float32. A text is read in windows of the length
    trained, each from nothing; of the last one, moved back to end with it, what was read before is not
    counted again. The text's last token counts for none, as there is nothing after it to tell.

    Raises:
      ValueError: a text is shorter than a window and a token, or the model's states can't be asked.
    """
    cut = [batches.eval_windows(text, length_of(cfg)) for text in texts]
    windows = np.concatenate([windows[:, :-1] for windows, _ in cut])
    shares = np.concatenate([mask / mask.sum() for _, mask in cut]).astype(np.float32)
    begins = np.cumsum([0, *(len(mask) for _, mask in cut[:-1])])
    return np.add.reduceat(in_blocks(partial(weighed, cfg), params, windows, shares), begins)


states = jax.jit(tree.states, static_argnums=0)


@partial(jax.jit, static_argnums=0)
def weighed(cfg: ModelConfig, params: tree.Params, tokens_BL: jax.Array, share_BL: jax.Array) -> jax.Array:
    """The sum of the states over a window, each by its share: (B, D)."""
    return jnp.einsum("BLD,BL->BD", tree.states(cfg, params, tokens_BL), share_BL)


def by_token(cfg: ModelConfig, params: tree.Params, text: np.ndarray) -> np.ndarray:
    """The states at each token of a text but its last, (tokens, D), read as `pooled` says."""
    windows, mask = batches.eval_windows(text, length_of(cfg))
    return in_blocks(partial(states, cfg), params, windows[:, :-1])[mask]


def in_blocks(function: Callable, params: tree.Params, *arrays: np.ndarray) -> np.ndarray:
    """`function` of the rows of arrays, `ROWS` at a time."""
    rows, params = len(arrays[0]), jax.device_put(params)
    padded = [np.pad(a, [(0, -rows % ROWS), *((0, 0),) * (a.ndim - 1)]) for a in arrays]
    blocks = [[a[at : at + ROWS] for a in padded] for at in range(0, rows, ROWS)]
    return np.concatenate([np.asarray(function(params, *block)) for block in blocks])[:rows]


@dataclass(frozen=True)
class Linear:
    """P(label = 1) = sigmoid(x w + b) of features (T, D)."""

    w: np.ndarray  # (D,)
    b: float
    penalty: float

    def right(self, x_TD: np.ndarray, labels_T: np.ndarray) -> np.ndarray:
        """Which texts it tells right, (T,)."""
        return (x_TD @ self.w + self.b > 0) == (labels_T > 0)


def fit_linear(x_TD: np.ndarray, labels_T: np.ndarray) -> Linear:
    """Logistic regression with an L1 penalty (Radford et al. 2017), whose strength is chosen on every fifth
    text and which is then fitted to all."""
    chosen_on = np.arange(len(x_TD)) % CHOSEN_ON == 0
    fits = path(x_TD[~chosen_on], labels_T[~chosen_on])
    best = max(fits, key=lambda fit: fit.right(x_TD[chosen_on], labels_T[chosen_on]).mean())
    return next(fit for fit in path(x_TD, labels_T) if fit.penalty == best.penalty)


def path(x_TD: np.ndarray, labels_T: np.ndarray) -> list[Linear]:
    """The regressions of all penalties, the strongest first, each begun where the one before ended."""
    middle, scale = x_TD.mean(0), x_TD.std(0) + 1e-12
    x, sign = (x_TD - middle).astype(np.float64) / scale, np.where(labels_T > 0, 1.0, -1.0)
    D, fits = x.shape[1], []
    start = np.zeros(2 * D + 1)  # parts above and below zero, and the bias

    def loss(parts: np.ndarray, penalty: float) -> tuple[float, np.ndarray]:
        w, b = parts[:D] - parts[D:-1], parts[-1]
        margin = sign * (x @ w + b)
        pull = -sign * special.expit(-margin) / len(x)
        slope = x.T @ pull
        value = np.logaddexp(0, -margin).mean() + penalty * parts[:-1].sum()
        return value, np.concatenate([slope + penalty, penalty - slope, [pull.sum()]])

    bounds = [(0, None)] * (2 * D) + [(None, None)]
    for penalty in PENALTIES:
        start = optimize.minimize(
            loss, start, (penalty,), method="L-BFGS-B", jac=True, bounds=bounds, options={"maxiter": 500}
        ).x
        w = (start[:D] - start[D:-1]) / scale
        fits.append(Linear(w, float(start[-1] - middle @ w), float(penalty)))
    return fits


def correlations(x_TD: np.ndarray, values_T: np.ndarray) -> np.ndarray:
    """Of each unit with a value of each text or token, (D,)."""
    x, y = x_TD - x_TD.mean(0), values_T - values_T.mean()
    return (y @ x) / (np.linalg.norm(x, axis=0) * np.linalg.norm(y) + 1e-12)


@dataclass(frozen=True)
class Unit:
    """One unit that is above a threshold, or below it, where the label is 1."""

    index: int
    threshold: float
    sign: float

    def right(self, x_TD: np.ndarray, labels_T: np.ndarray) -> np.ndarray:
        """Which texts it tells right, (T,)."""
        return (self.sign * (x_TD[:, self.index] - self.threshold) > 0) == (labels_T > 0)


def best_unit(x_TD: np.ndarray, labels_T: np.ndarray) -> Unit:
    """The unit that goes most with the label, and the middle between its means of either."""
    each = correlations(x_TD, labels_T)
    index = int(np.abs(each).argmax())
    means = [x_TD[labels_T == label, index].mean() for label in (0, 1)]
    return Unit(index, float(np.mean(means)), float(np.sign(each[index])))
