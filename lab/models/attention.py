"""Attention: causal by the target's fastest way, and plain to whatever is seen.

On CPU a long square leaves the cache, and half of it is masked: beyond SHORT positions one head at a time is
done, in at most BLOCKS blocks of rows, without the keys that none of a block sees.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from lab.models import kernels
from lab.models.ops import as_target, dot, round_to, transpose
from lab.models.target import Target, keep

SHORT = 256  # positions up to which the whole square is one array
ROWS, BLOCKS = 128, 8  # of a block at least; blocks at most: each is compiled by itself


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
    whole = q_BLHK.shape[1] <= SHORT or on.flat or on.mesh is not None  # a mesh lays a batch's heads apart
    return (attend_heads if whole else attend_rows)(*heads, on).swapaxes(1, 2)


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


def attend_rows(q_BHLK: jax.Array, k_BHLK: jax.Array, v_BHLK: jax.Array, on: Target) -> jax.Array:
    """`attend_heads` a head at a time, in blocks of rows against the keys before their ends."""
    heads = [t.reshape(-1, *t.shape[2:]) for t in (q_BHLK, k_BHLK, v_BHLK)]
    return lax.map(lambda each: attend_one(*each, on), heads).reshape(q_BHLK.shape)


@partial(jax.custom_vjp, nondiff_argnums=(3,))
def attend_one(q_LK, k_LK, v_LK, on):
    return attend_one_fwd(q_LK, k_LK, v_LK, on)[0]


def blocks_of(L: int) -> list[tuple[int, int]]:
    rows = max(ROWS, -(-L // BLOCKS))
    return [(start, min(L, start + rows)) for start in range(0, L, rows)]


def attend_one_fwd(q_LK, k_LK, v_LK, on):
    weights, out = [], []
    for a, b in blocks_of(len(q_LK)):
        scores_LM = dot(q_LK[a:b], transpose(k_LK[:b]), (1, 0))
        seen_LM = jnp.tri(
            b - a, b, a, dtype=bool
        )  # made where it is used: no constant of L x L in the program
        weights.append(round_to(jax.nn.softmax(jnp.where(seen_LM, scores_LM, -1e30)), on))
        out.append(dot(weights[-1], v_LK[:b], (1, 0)))
    out_LK = jnp.concatenate(out)
    return out_LK, (q_LK, k_LK, v_LK, weights, out_LK)


def attend_one_bwd(on, saved, grad_LK):
    q_LK, k_LK, v_LK, weights, out_LK = saved
    mean_L1 = (grad_LK * out_LK).sum(-1, keepdims=True)
    grad_LK = round_to(grad_LK, on)
    to_q, to_k_LK, to_v_LK = [], jnp.zeros(k_LK.shape, jnp.float32), jnp.zeros(v_LK.shape, jnp.float32)
    for p_LM, (a, b) in zip(weights, blocks_of(len(q_LK)), strict=True):
        to_v_KM = dot(transpose(grad_LK[a:b]), p_LM, (1, 0))
        to_p_LM = dot(grad_LK[a:b], transpose(v_LK[:b]), (1, 0))
        to_s_LM = lax.optimization_barrier(round_to(p_LM * (to_p_LM - mean_L1[a:b]), on))
        to_q.append(dot(to_s_LM, k_LK[:b], (1, 0)))
        to_k_KM = dot(transpose(q_LK[a:b]), to_s_LM, (1, 0))
        to_k_LK, to_v_LK = to_k_LK.at[:b].add(to_k_KM.T), to_v_LK.at[:b].add(to_v_KM.T)
    return jnp.concatenate(to_q), to_k_LK, to_v_LK


attend_one.defvjp(attend_one_fwd, attend_one_bwd)
