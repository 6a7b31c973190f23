"""A plain JAX loop, as one writes it in an afternoon: flax's modules, optax.adamw, one jitted step
a dispatch, all cores in one process."""

from typing import Any

from bench.child import Work
from bench.peers import shapes


def model_of(shape: shapes.Shape, dtype: str):
    import jax
    import jax.numpy as jnp
    from flax import nnx

    class Block(nnx.Module):
        def __init__(self, rngs: nnx.Rngs):
            width, kind = shape.width, jnp.dtype(dtype)
            self.norm1 = nnx.LayerNorm(width, rngs=rngs)
            self.norm2 = nnx.LayerNorm(width, rngs=rngs)
            self.qkv = nnx.Linear(width, 3 * width, use_bias=False, dtype=kind, rngs=rngs)
            self.out = nnx.Linear(width, width, use_bias=False, dtype=kind, rngs=rngs)
            self.up = nnx.Linear(width, 4 * width, use_bias=False, dtype=kind, rngs=rngs)
            self.down = nnx.Linear(4 * width, width, use_bias=False, dtype=kind, rngs=rngs)

        def __call__(self, x):
            B, L, D = x.shape
            q, k, v = jnp.split(self.qkv(self.norm1(x)), 3, axis=-1)
            q, k, v = (t.reshape(B, L, shape.heads, -1) for t in (q, k, v))
            mixed = jax.nn.dot_product_attention(q, k, v, is_causal=True)
            x = x + self.out(mixed.reshape(B, L, D))
            return x + self.down(jax.nn.gelu(self.up(self.norm2(x))))

    class GPT(nnx.Module):
        def __init__(self, rngs: nnx.Rngs):
            self.embed = nnx.Embed(shape.vocab, shape.width, rngs=rngs)
            self.position = nnx.Embed(shape.context, shape.width, rngs=rngs)
            self.blocks = nnx.List([Block(rngs) for _ in range(shape.layers)])
            self.norm = nnx.LayerNorm(shape.width, rngs=rngs)

        def __call__(self, tokens):
            x = self.embed(tokens) + self.position(jnp.arange(tokens.shape[1]))
            for block in self.blocks:
                x = block(x)
            return self.embed.attend(self.norm(x))

    return GPT(nnx.Rngs(0))


def prepare(task: dict[str, Any]) -> Work:
    import jax
    import optax
    from flax import nnx

    shape = shapes.shape_of(task)
    graph, params = nnx.split(model_of(shape, task["dtype"]))
    optimiser = optax.chain(
        optax.clip_by_global_norm(shapes.CLIP),
        optax.adamw(shapes.LEARNING_RATE, *shapes.BETAS, weight_decay=shapes.WEIGHT_DECAY),
    )
    opt_state = optimiser.init(params)

    def loss_of(params, tokens):
        logits = nnx.merge(graph, params)(tokens[:, :-1]).astype("float32")
        return optax.softmax_cross_entropy_with_integer_labels(logits, tokens[:, 1:]).mean()

    @jax.jit
    def step(params, opt_state, tokens):
        loss, grads = jax.value_and_grad(loss_of)(params, tokens)
        updates, opt_state = optimiser.update(grads, opt_state, params)
        return optax.apply_updates(params, updates), opt_state, loss

    data = shapes.batches(shape)
    losses, made = [], 0

    def do(n: int) -> None:
        nonlocal params, opt_state, made
        for _ in range(n):
            params, opt_state, loss = step(params, opt_state, data[made % len(data)])
            made += 1
        losses.append(float(loss))
        jax.block_until_ready(params)

    total = sum(leaf.size for leaf in jax.tree.leaves(params))
    return Work(
        do, shape.tokens, {"params_all": total}, lambda: {"first_loss": losses[0], "loss": losses[-1]}
    )
