"""The LSTM and the GRU: their recurrences over a window of time, with their gradients, and models.

Time comes first: (L, B, ...). What the inputs add to the gates is made for all steps at once by
the layer; only the product with the state before stands inside the loop. The gradient is written
out for the same reason: going back in time, each step waits for the later one's in one product and
a few multiplications. All else (the slopes of every gate, and the gradient of the weights, one
product over all steps) is made for the whole window at once. Each window starts from zero.
"""

from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax

from lab.config import ModelConfig
from lab.models import ops
from lab.models.ends import LanguageModel
from lab.models.target import Target
from lab.models.weight import matrix, parameterization, vector


def product(x_BD: jax.Array, w_DG: jax.Array, on: Target | str) -> jax.Array:
    return ops.dot(ops.round_to(x_BD, on), w_DG, (1, 0))


def weight_grad(h_LBD: jax.Array, to_z_LBG: jax.Array, on: Target | str) -> jax.Array:
    """Of the matrix (D, G) by which each step's state entered the next step's gates."""
    rows_TD = ops.round_to(h_LBD[:-1].reshape(-1, h_LBD.shape[-1]), on)
    rows_TG = ops.round_to(to_z_LBG[1:].reshape(-1, to_z_LBG.shape[-1]), on)
    return ops.dot(ops.transpose(rows_TD), rows_TG, (1, 0))


def before(x_LBD: jax.Array) -> jax.Array:
    """Each step's value at the step before, zero at the first."""
    return jnp.concatenate([jnp.zeros_like(x_LBD[:1]), x_LBD[:-1]])


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def lstm(x_LBG: jax.Array, w_DG: jax.Array, on: Target | str) -> jax.Array:
    """Outputs h (L, B, D) of one layer (Hochreiter & Schmidhuber 1997, with the forget gate of Gers
    et al. 2000): f, i, o = sigmoid(z), g = tanh(z), c' = f c + i g, h' = o tanh(c'), where
    z = x + h w holds the four (B, 4 D) in that order."""
    return lstm_fwd(x_LBG, w_DG, on)[0]


def lstm_gates(z_BG: jax.Array) -> list[jax.Array]:
    f, i, o, g = jnp.split(z_BG, 4, axis=-1)
    return [jax.nn.sigmoid(f), jax.nn.sigmoid(i), jax.nn.sigmoid(o), jnp.tanh(g)]


def lstm_fwd(x_LBG, w_DG, on):
    w_DG = ops.round_to(w_DG, on)

    def tick(state, x_BG):
        h_BD, c_BD = state
        z_BG = x_BG + product(h_BD, w_DG, on)
        f, i, o, g = lstm_gates(z_BG)
        c_BD = f * c_BD + i * g
        h_BD = o * jnp.tanh(c_BD)
        return (h_BD, c_BD), (h_BD, c_BD, z_BG)

    zero_BD = jnp.zeros((x_LBG.shape[1], w_DG.shape[0]))
    _, (h_LBD, c_LBD, z_LBG) = lax.scan(tick, (zero_BD, zero_BD), x_LBG)
    return h_LBD, (h_LBD, c_LBD, z_LBG, w_DG)


def lstm_bwd(on, saved, grad_LBD):
    h_LBD, c_LBD, z_LBG, w_DG = saved
    f, i, o, g = lstm_gates(z_LBG)
    t = jnp.tanh(c_LBD)
    slopes = (
        f,
        o * (1 - t * t),
        before(c_LBD) * f * (1 - f),
        g * i * (1 - i),
        t * o * (1 - o),
        i * (1 - g * g),
    )
    w_GD = ops.transpose(w_DG)

    def tick(state, now):
        to_h_BD, to_c_BD = state
        grad_BD, f, of_c, of_f, of_i, of_o, of_g = now
        to_h_BD = to_h_BD + grad_BD
        to_c_BD = to_c_BD + to_h_BD * of_c
        to_z_BG = jnp.concatenate([to_c_BD * of_f, to_c_BD * of_i, to_h_BD * of_o, to_c_BD * of_g], axis=-1)
        return (product(to_z_BG, w_GD, on), to_c_BD * f), to_z_BG

    zero_BD = jnp.zeros_like(h_LBD[0])
    _, to_z_LBG = lax.scan(tick, (zero_BD, zero_BD), (grad_LBD, *slopes), reverse=True)
    return to_z_LBG, weight_grad(h_LBD, to_z_LBG, on)


lstm.defvjp(lstm_fwd, lstm_bwd)


@partial(jax.custom_vjp, nondiff_argnums=(3,))
def gru(x_LBG: jax.Array, w_DG: jax.Array, b_D: jax.Array, on: Target | str) -> jax.Array:
    """Outputs h (L, B, D) of one layer (Cho et al. 2014, in the form of cuDNN, whose reset gate
    comes after the product): r, z = sigmoid(x + u), n = tanh(x + r (u + b)), h' = n + z (h - n),
    where x and u = h w hold what r, z and n get, (B, 3 D) in that order."""
    return gru_fwd(x_LBG, w_DG, b_D, on)[0]


def gru_gates(x_BG: jax.Array, u_BG: jax.Array, b_D: jax.Array) -> list[jax.Array]:
    (x_r, x_z, x_n), (u_r, u_z, u_n) = jnp.split(x_BG, 3, axis=-1), jnp.split(u_BG, 3, axis=-1)
    r, inner = jax.nn.sigmoid(x_r + u_r), u_n + b_D
    return [r, jax.nn.sigmoid(x_z + u_z), inner, jnp.tanh(x_n + r * inner)]


def gru_fwd(x_LBG, w_DG, b_D, on):
    w_DG = ops.round_to(w_DG, on)

    def tick(h_BD, x_BG):
        u_BG = product(h_BD, w_DG, on)
        _, z, _, n = gru_gates(x_BG, u_BG, b_D)
        h_BD = n + z * (h_BD - n)
        return h_BD, (h_BD, u_BG)

    zero_BD = jnp.zeros((x_LBG.shape[1], w_DG.shape[0]))
    _, (h_LBD, u_LBG) = lax.scan(tick, zero_BD, x_LBG)
    return h_LBD, (h_LBD, u_LBG, x_LBG, w_DG, b_D)


def gru_bwd(on, saved, grad_LBD):
    h_LBD, u_LBG, x_LBG, w_DG, b_D = saved
    r, z, inner, n = gru_gates(x_LBG, u_LBG, b_D)
    of_n = (1 - z) * (1 - n * n)
    of_u_LBG = jnp.concatenate(
        [of_n * inner * r * (1 - r), (before(h_LBD) - n) * z * (1 - z), of_n * r], axis=-1
    )
    w_GD = ops.transpose(w_DG)

    def tick(to_h_BD, now):
        grad_BD, z, of_u_BG = now
        to_h_BD = to_h_BD + grad_BD
        to_u_BG = jnp.concatenate([to_h_BD] * 3, axis=-1) * of_u_BG
        return to_h_BD * z + product(to_u_BG, w_GD, on), (to_h_BD, to_u_BG)

    zero_BD, now = jnp.zeros_like(h_LBD[0]), (grad_LBD, z, of_u_LBG)
    _, (to_h_LBD, to_u_LBG) = lax.scan(tick, zero_BD, now, reverse=True)
    r_and_z, to_inner_LBD = jnp.split(to_u_LBG, [2 * w_DG.shape[0]], axis=-1)
    to_x_LBG = jnp.concatenate([r_and_z, to_h_LBD * of_n], axis=-1)
    return to_x_LBG, weight_grad(h_LBD, to_u_LBG, on), to_inner_LBD.sum((0, 1))


gru.defvjp(gru_fwd, gru_bwd)


class LSTM(nnx.Module):
    """One layer, (L, B, D) -> (L, B, D): each position sees those before it."""

    def __init__(self, cfg: ModelConfig, on: Target):
        D, self.on = cfg.d_model, on
        self.w_x_DG = matrix(cfg, "hidden", (D, 4 * D), fan_in=D)
        self.w_h_DG = matrix(cfg, "hidden", (D, 4 * D), fan_in=D)
        self.bias_f_D = vector(D, 1.0)  # a forget gate starts open (Jozefowicz et al. 2015)
        self.bias_iog_3D = vector(3 * D, 0.0)

    def __call__(self, x_LBD: jax.Array) -> jax.Array:
        bias_G = jnp.concatenate([self.bias_f_D[...], self.bias_iog_3D[...]])
        x_LBG = ops.matmul(x_LBD, self.w_x_DG[...], self.on) + bias_G
        return lstm(x_LBG, self.w_h_DG[...], self.on)


class GRU(nnx.Module):
    """One layer, (L, B, D) -> (L, B, D): each position sees those before it."""

    def __init__(self, cfg: ModelConfig, on: Target):
        D, self.on = cfg.d_model, on
        self.w_x_DG = matrix(cfg, "hidden", (D, 3 * D), fan_in=D)
        self.w_h_DG = matrix(cfg, "hidden", (D, 3 * D), fan_in=D)
        self.bias_rzn_3D = vector(3 * D, 0.0)
        self.bias_h_D = vector(D, 0.0)

    def __call__(self, x_LBD: jax.Array) -> jax.Array:
        x_LBG = ops.matmul(x_LBD, self.w_x_DG[...], self.on) + self.bias_rzn_3D[...]
        return gru(x_LBG, self.w_h_DG[...], self.bias_h_D[...], self.on)


class Recurrent(LanguageModel):
    """Layers of cells: each reads the outputs of the one below, the first a row of the embedding
    brought to unit scale."""

    time_first = True

    def __init__(self, cfg: ModelConfig, on: Target):
        super().__init__(cfg, on, {"lstm": LSTM, "gru": GRU}[cfg.kind], "cells")
        self.embed_scale = 1 / parameterization(cfg).init_std("embed", cfg.d_model)

    def features(self, tokens_LB: jax.Array) -> jax.Array:
        return self.layers(self.embed_scale * self.embed_VD[...][tokens_LB])
