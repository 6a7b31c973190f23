"""The products, attention and cross-entropy that a step spends its time in.

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

from lab.models import kernels
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


def attend(
    q_BLHK: jax.Array, k_BLHK: jax.Array, v_BLHK: jax.Array, scale: float, on: Target | str = "float32"
) -> jax.Array:
    """Causal attention, (B, L, H, K) in float32: products of numbers in the target's type, softmax in
    float32. Off CPU by a kernel where there is one for the shape; it gives these numbers to float error."""
    on = as_target(on)
    if not on.on_cpu:
        found = kernels.attention(scale * q_BLHK, k_BLHK, v_BLHK, on)
        if found is not None:
            return found
        q, k, v = (keep(t.astype(on.dtype)) for t in (q_BLHK, k_BLHK, v_BLHK))
        return jax.nn.dot_product_attention(q, k, v, scale=scale, is_causal=True)
    heads = [keep(round_to(t, on)).swapaxes(1, 2) for t in (scale * q_BLHK, k_BLHK, v_BLHK)]
    return attend_heads(*heads, on).swapaxes(1, 2)


def attend_near(
    q_BLHK: jax.Array,
    k_BMHK: jax.Array,
    v_BMHK: jax.Array,
    scale: float,
    on: Target | str,
    cap: float = 0.0,
    seen: jax.Array | np.ndarray | None = None,
) -> jax.Array:
    """Attention to what is `seen`, booleans that broadcast to (B, H, L, M), None: to all; its logits softly
    below `cap` (0: as they are). Written plainly, on every device."""
    q, k, v = (keep(round_to(t, on)) for t in (scale * q_BLHK, k_BMHK, v_BMHK))
    scores_BHLM = jnp.einsum("BLHK,BMHK->BHLM", q, k, preferred_element_type=jnp.float32)
    if cap:
        scores_BHLM = cap * jnp.tanh(scores_BHLM / cap)
    if seen is not None:
        scores_BHLM = jnp.where(seen, scores_BHLM, -1e30)
    p_BHLM = round_to(jax.nn.softmax(scores_BHLM), on)
    return jnp.einsum("BHLM,BMHK->BLHK", p_BHLM, v, preferred_element_type=jnp.float32)


def before(L: int, window: int = 0, prefix_B: jax.Array | None = None) -> jax.Array | np.ndarray:
    """The last `window` positions of each (0: all before it), itself among them, and the first `prefix_B` of
    a sequence: (L, L), or (B, 1, L, L)."""
    seen_LM = np.tri(L, dtype=bool) & ~np.tri(L, k=-window if window else -L, dtype=bool)
    return seen_LM if prefix_B is None else seen_LM | beginning(L, prefix_B)


def beginning(L: int, prefix_B: jax.Array) -> jax.Array:
    """The first `prefix_B` of L positions, (B, 1, 1, L)."""
    return np.arange(L) < prefix_B[:, None, None, None]


@partial(jax.custom_vjp, nondiff_argnums=(3,))
def attend_heads(q_BHLK, k_BHLK, v_BHLK, on):
    return attend_heads_fwd(q_BHLK, k_BHLK, v_BHLK, on)[0]


def attend_heads_fwd(q_BHLK, k_BHLK, v_BHLK, on):
    L = q_BHLK.shape[2]
    scores_BHLM = dot(q_BHLK, transpose(k_BHLK), (3, 2), batch=2)
    seen_LM = jnp.tril(jnp.ones((L, L), bool))
    p_BHLM = round_to(jax.nn.softmax(jnp.where(seen_LM, scores_BHLM, -1e30)), on)
    out_BHLK = dot(p_BHLM, v_BHLK, (3, 2), batch=2)
    return out_BHLK, (q_BHLK, k_BHLK, v_BHLK, p_BHLM, out_BHLK)


def attend_heads_bwd(on, saved, grad_BHLK):
    q_BHLK, k_BHLK, v_BHLK, p_BHLM, out_BHLK = saved
    mean_BHL1 = (grad_BHLK * out_BHLK).sum(-1, keepdims=True)  # of p's gradient under p
    grad_BHLK = round_to(grad_BHLK, on)
    to_v_BHKM = dot(transpose(grad_BHLK), p_BHLM, (3, 2), batch=2)
    to_p_BHLM = dot(grad_BHLK, transpose(v_BHLK), (3, 2), batch=2)
    to_s_BHLM = lax.optimization_barrier(round_to(p_BHLM * (to_p_BHLM - mean_BHL1), on))
    to_q_BHLK = dot(to_s_BHLM, k_BHLK, (3, 2), batch=2)
    to_k_BHKM = dot(transpose(q_BHLK), to_s_BHLM, (3, 2), batch=2)
    return to_q_BHLK, to_k_BHKM.swapaxes(2, 3), to_v_BHKM.swapaxes(2, 3)


attend_heads.defvjp(attend_heads_fwd, attend_heads_bwd)


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
