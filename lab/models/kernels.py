"""Attention by the kernels that the field has made for its chips, where they take a shape."""

from functools import cache

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from lab.models.target import KEPT, Target, keep

TILE = 128  # lanes of a TPU's vector unit: what splash attention takes is a multiple of it
BLOCK = 512  # rows of queries and of keys that one step of the kernel holds
INTERPRET = False  # the kernel as plain operations, on any device: for tests


def attention(q_BLHK: jax.Array, k_BLHK: jax.Array, v_BLHK: jax.Array, on: Target) -> jax.Array | None:
    """Causal attention (B, L, H, K), q scaled already, in float32; None where no kernel of the target
    takes the shape: on TPU splash attention (jax's own), on GPU cuDNN's. Neither keeps L x L numbers."""
    if on.platform == "tpu" and q_BLHK.shape[1] % TILE == 0:
        return over_devices(splash_heads, q_BLHK, k_BLHK, v_BLHK, on)
    if on.platform == "gpu" and on.dtype == "bfloat16":
        try:
            return over_devices(cudnn_heads, q_BLHK, k_BLHK, v_BLHK, on)
        except (RuntimeError, ValueError, NotImplementedError):  # by which jax says: no cuDNN, or not this
            return None
    return None


def over_devices(heads, q_BLHK, k_BLHK, v_BLHK, on: Target) -> jax.Array:
    """A kernel on what each device holds, sequences and heads apart, where the compiler splits the rest of
    the program: it can't split a kernel."""
    given = [keep(t.astype(on.dtype)) for t in (q_BLHK, k_BLHK, v_BLHK)]
    if on.mesh is None:
        return heads(*given).astype(jnp.float32)
    split = PartitionSpec(*on.axes(q_BLHK.shape[0], None, q_BLHK.shape[2], None))
    local = jax.shard_map(heads, mesh=on.mesh, in_specs=(split,) * 3, out_specs=split, check_vma=False)
    return local(*given).astype(jnp.float32)


@cache
def splash_kernel(heads: int, L: int):
    from jax.experimental.pallas.ops.tpu import splash_attention as splash  # not before it is needed: slow

    block = next(size for size in (BLOCK, 256, TILE) if L % size == 0)
    sizes = splash.BlockSizes(*(block,) * 6, block_q_dq=None, block_kv_dq=None, use_fused_bwd_kernel=True)
    mask = splash.MultiHeadMask([splash.CausalMask((L, L))] * heads)
    with jax.ensure_compile_time_eval():  # its tables are kept from one trace to the next
        return splash.make_splash_mha(
            mask,
            block_sizes=sizes,
            head_shards=1,
            q_seq_shards=1,
            residual_checkpoint_name=KEPT,
            interpret=INTERPRET,
        )


def splash_heads(q_BLHK, k_BLHK, v_BLHK):
    _, L, H, K = q_BLHK.shape
    kernel, wide = splash_kernel(H, L), ((0, 0),) * 3 + ((0, -K % TILE),)
    q, k, v = (jnp.pad(t, wide).swapaxes(1, 2) for t in (q_BLHK, k_BLHK, v_BLHK))
    return jax.vmap(kernel)(q, k, v).swapaxes(1, 2)[..., :K]


def cudnn_heads(q_BLHK, k_BLHK, v_BLHK):
    return jax.nn.dot_product_attention(
        q_BLHK, k_BLHK, v_BLHK, scale=1.0, is_causal=True, implementation="cudnn"
    )
