"""The products and the cross-entropy that a step spends its time in.

One source for every device. On CPU each has its gradient written out, so that every product
reaches XLA as rows times columns, neither transposed: other forms take a slow loop (float32) or
lose the matrix unit (bfloat16). Accelerators take the forms that their compilers know.
"""

from functools import cache, partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from lab.models.target import Target, here, keep

WIDE = 2**24  # logits held at once; more are made in parts, and again for the gradient
FAR_WIDE = 2**25  # of them on a device that is no CPU


def as_target(on: Target | str) -> Target:
    """What to compile for; a dtype alone is one of the devices that are here."""
    return on if isinstance(on, Target) else here(on)


@cache
def bfloat16_unit() -> bool:
    """Whether this CPU multiplies bfloat16 faster than float32 (AMX)."""
    info = Path("/proc/cpuinfo")
    return info.exists() and "amx_bf16" in info.read_text()


def product_dtype(on: Target | str) -> str:
    """The type in which a target's numbers are multiplied: float32 where that is faster, which
    changes no product, since two bfloat16 multiply exactly in float32."""
    on = as_target(on)
    return on.dtype if not on.on_cpu or bfloat16_unit() else "float32"


def round_to(x: jax.Array, on: Target | str) -> jax.Array:
    """To the numbers of the target's type, in the type in which they are multiplied."""
    on = as_target(on)
    if product_dtype(on) != on.dtype:
        return lax.reduce_precision(x, exponent_bits=8, mantissa_bits=7)
    return x.astype(on.dtype)


def dot(a: jax.Array, b: jax.Array, over: tuple[int, int], batch: int = 0) -> jax.Array:
    """Product over one axis of each, the first `batch` axes being shared, summed in float32."""
    axes = tuple(range(batch))
    dims = (((over[0],), (over[1],)), (axes, axes))
    return lax.dot_general(a, b, dims, preferred_element_type=jnp.float32)


def transpose(x: jax.Array) -> jax.Array:
    """The last two axes exchanged, by a copy: folded into the product that takes it, the exchange
    costs several times as much on CPU."""
    return lax.optimization_barrier(jnp.swapaxes(lax.optimization_barrier(x), -1, -2))


def materialize(x: jax.Array) -> jax.Array:
    """`x` as an array of its own. A barrier would not do: XLA's CPU compiler drops it, then fuses
    what makes `x` into all that take it. It can't look into a branch taken at run time."""
    first = x[(0,) * x.ndim]
    return lax.cond(first == first, lambda x: x, lambda x: jnp.full_like(x, jnp.nan), x)


def join_gradients(x: jax.Array, on: Target) -> jax.Array:
    """`x`, whose gradient is added up here once. Else XLA's CPU compiler adds up the gradients of all
    later blocks again wherever the sum is used."""
    return join(x) if on.on_cpu else x


@jax.custom_vjp
def join(x):
    return x


join.defvjp(lambda x: (x, None), lambda _, grad: (materialize(grad),))


def matmul(x: jax.Array, w_DF: jax.Array, on: Target | str, kept: bool = True) -> jax.Array:
    """(..., D) x (D, F) -> (..., F): inputs in the target's type, sums in float32. What is `kept` of it off
    CPU is of the target's type, too; where what is made of it is `keep`-ed later, it need not be."""
    on = as_target(on)
    if on.on_cpu:
        rows = x.reshape(-1, x.shape[-1])
        out = rows_by_columns(rows, w_DF, on).reshape(*x.shape[:-1], -1)
    else:
        out = jnp.matmul(x.astype(on.dtype), w_DF.astype(on.dtype), preferred_element_type=jnp.float32)
    if not kept:
        return out
    return keep(out) if on.on_cpu else keep(out.astype(on.dtype)).astype(jnp.float32)


def permute(x: jax.Array, order_KK: np.ndarray, on: Target) -> jax.Array:
    """The last axis in another order, by a product with a permutation: numbers in the target's type."""
    precision = "highest" if on.dtype == "float32" else None
    return jnp.matmul(
        x.astype(on.dtype),
        jnp.asarray(order_KK, on.dtype),
        precision=precision,
        preferred_element_type=jnp.float32,
    )


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def rows_by_columns(x_TD: jax.Array, w_DF: jax.Array, on: Target) -> jax.Array:
    return dot(round_to(x_TD, on), round_to(w_DF, on), (1, 0))


def rows_by_columns_fwd(x_TD, w_DF, on):
    x_TD, w_DF = round_to(x_TD, on), round_to(w_DF, on)
    return dot(x_TD, w_DF, (1, 0)), (x_TD, w_DF)


def rows_by_columns_bwd(on, saved, grad_TF):
    x_TD, w_DF = saved
    grad_TF = lax.optimization_barrier(round_to(grad_TF, on))
    to_x = dot(grad_TF, w_DF, (1, 1))
    if x_TD.shape[1] <= grad_TF.shape[1]:  # turn the smaller
        return to_x, dot(transpose(x_TD), grad_TF, (1, 0))
    return to_x, lax.optimization_barrier(dot(transpose(grad_TF), x_TD, (1, 0))).T


rows_by_columns.defvjp(rows_by_columns_fwd, rows_by_columns_bwd)


def cross_entropy(
    x_BLD: jax.Array, readout_DV: jax.Array, targets_BL: jax.Array, on: Target | str, time: int = 1
) -> jax.Array:
    """Nats of each target, (B, L), under softmax(x @ readout). Of a large vocabulary at most WIDE
    logits exist at once on CPU, and about FAR_WIDE on another device: there parts are cut along `time`,
    so that a batch which is split over devices stays split, each with its own tokens."""
    on = as_target(on)

    def part(x_TD: jax.Array, targets_T: jax.Array) -> jax.Array:
        return row_nats(matmul(x_TD, readout_DV, on), targets_T)

    V = readout_DV.shape[1]
    if not on.on_cpu or on.mesh is not None:
        L, most = targets_BL.shape[time], WIDE if on.on_cpu else FAR_WIDE
        logits = targets_BL.size * V // on.splits
        n = next(n for n in range(1, L + 1) if L % n == 0 and (logits <= n * most or n == L))
        if n == 1:
            return part(x_BLD, targets_BL)
        cut = [
            jnp.moveaxis(t.reshape(*t.shape[:time], n, L // n, *t.shape[time + 1 :]), time, 0)
            for t in (x_BLD, targets_BL)
        ]
        nats = lax.map(jax.checkpoint(lambda both: part(*both)), tuple(cut))
        return jnp.moveaxis(nats, 0, time).reshape(targets_BL.shape)
    x_TD, targets_T = x_BLD.reshape(-1, x_BLD.shape[-1]), targets_BL.reshape(-1)
    rows = max(1, WIDE // V)
    if len(x_TD) <= rows:
        return part(x_TD, targets_T).reshape(targets_BL.shape)
    short = -len(x_TD) % rows
    parts = (jnp.pad(x_TD, ((0, short), (0, 0))), jnp.pad(targets_T, (0, short)))
    parts = [t.reshape(-1, rows, *t.shape[1:]) for t in parts]
    nats = lax.map(jax.checkpoint(lambda both: part(*both)), tuple(parts))
    return nats.reshape(-1)[: len(x_TD)].reshape(targets_BL.shape)


@jax.custom_vjp
def row_nats(logits_TV: jax.Array, targets_T: jax.Array) -> jax.Array:
    """Of logits (..., V) and targets (...)."""
    return row_nats_fwd(logits_TV, targets_T)[0]


def row_nats_fwd(logits_TV, targets_T):
    top_T1 = logits_TV.max(-1, keepdims=True)
    exp_TV = jnp.exp(logits_TV - top_T1)
    sum_T1 = exp_TV.sum(-1, keepdims=True)
    hit_TV = targets_T[..., None] == jnp.arange(logits_TV.shape[-1])
    own_T = jnp.where(hit_TV, logits_TV, 0).sum(-1)
    return jnp.log(sum_T1[..., 0]) + top_T1[..., 0] - own_T, (exp_TV, sum_T1, targets_T)


def row_nats_bwd(saved, grad_T):
    exp_TV, sum_T1, targets_T = saved
    hit_TV = targets_T[..., None] == jnp.arange(exp_TV.shape[-1])
    return grad_T[..., None] * (exp_TV / sum_T1 - hit_TV), None


row_nats.defvjp(row_nats_fwd, row_nats_bwd)
