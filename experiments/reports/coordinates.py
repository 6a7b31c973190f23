"""The coordinate check (Yang et al. 2022, appendix D.1): how large each layer's activations are
after a few updates, at several widths. Under MUP they do not depend on the width.

What experiments/transfer.py draws and tests/test_coordinates.py asks.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from lab.config import DataConfig, ModelConfig, OptimConfig, RunConfig
from lab.data import batches
from lab.data.corpora import Corpus
from lab.models import tree
from lab.models.transformer import Attention, Block, FeedForward
from lab.train import step

WIDTHS = (64, 128, 256, 512)
D_HEAD = 16  # the same at every width: more heads, not wider ones
BATCH = 512  # tokens


@dataclass(frozen=True)
class Check:
    """Root mean square of the coordinates of each layer's output, by width.

    `scale` maps a layer to its mean over seeds at each width after `updates` updates, `moved` to
    that of the difference to the same layer before the first.
    """

    widths: tuple[int, ...]
    updates: int
    scale: dict[str, list[float]]
    moved: dict[str, list[float]]

    def spread(self, of: str = "scale") -> dict[str, float]:
        """By layer: the largest value at any width over the smallest."""
        return {layer: max(values) / min(values) for layer, values in getattr(self, of).items()}


def check(
    corpus: Corpus,
    parameterization: str,
    *,
    widths: Sequence[int] = WIDTHS,
    updates: int = 4,
    seeds: int = 16,
    n_layer: int = 2,
    learning_rate: float = 0.003,
    optimizer: str = "adamw",
) -> Check:
    """Train each width for `updates` updates on the same batches at one base rate, and compare.

    The narrowest takes `seeds` seeds and others fewer in proportion, since wider layers vary less.
    """
    optim = OptimConfig(
        learning_rate=learning_rate, optimizer=optimizer, clip=0.0, schedule="constant", warmup_fraction=0.0
    )
    base = RunConfig(
        model=ModelConfig(
            d_model=D_HEAD,
            n_layer=n_layer,
            n_head=1,
            vocab_size=corpus.vocab_size,
            seq_len=32,
            parameterization=parameterization,
        ),
        tokens=updates * BATCH,
        batch_tokens=BATCH,
        optim=optim,
        data=DataConfig(sha256=corpus.sha256, corpus=corpus.name, train_tokens=corpus.n_train),
    )
    scale: dict[str, list[float]] = {}
    moved: dict[str, list[float]] = {}
    for width in widths:
        cfg = replace(base.model, d_model=width, n_head=width // D_HEAD)
        number = max(1, seeds * min(widths) // width)
        rows = measure_width(corpus, replace(base, model=cfg), updates, number)
        for place, by_layer in enumerate((scale, moved)):
            for layer in layers(n_layer):
                mean = float(np.mean([row[place][layer] for row in rows]))
                by_layer.setdefault(layer, []).append(mean)
    return Check(tuple(widths), updates, scale, moved)


def layers(n_layer: int) -> list[str]:
    """The names in `Check`, from the bottom up."""
    blocks = [f"{half} {i}" for i in range(1, n_layer + 1) for half in ("attention", "ffn")]
    return ["embedding", *blocks, "stream", "logits"]


def measure_width(
    corpus: Corpus, config: RunConfig, updates: int, seeds: int
) -> list[tuple[dict[str, float], dict[str, float]]]:
    """(scale, moved) by layer, for each seed."""
    cfg, shape = config.model, replace(config.shape, steps_per_dispatch=updates)
    hyper = step.hyper_of(config)
    tokens_SBL = jnp.asarray(batches.batches(corpus.train, 0, 0, updates, config.batch_size, cfg.seq_len))
    probe_BL = batches.eval_windows(corpus.held_out, cfg.seq_len, BATCH)[0][:, :-1]
    size = lambda x: jnp.sqrt(jnp.mean(jnp.square(x)))  # noqa: E731

    @jax.jit
    def measured(key):
        state = step.init_state(shape, key, hyper)
        before = activations(cfg, state.params, probe_BL)
        params = step.train_steps(shape, state, tokens_SBL, updates)[0].params
        after = activations(cfg, params, probe_BL)
        return (
            {layer: size(value) for layer, value in after.items()},
            {layer: size(after[layer] - before[layer]) for layer in after},
        )

    return [jax.device_get(measured(jax.random.key(seed))) for seed in range(seeds)]


def activations(cfg: ModelConfig, params: tree.Params, tokens_BL: np.ndarray) -> dict[str, jax.Array]:
    """The embedding, what each block's two halves add, the stream at the end, and the logits."""
    outputs: dict[str, jax.Array] = {}
    count = {"attention": 0, "ffn": 0}

    def recording(kind, call):
        def record(self, x):
            out = call(self, x)
            count[kind] += 1
            outputs[f"{kind} {count[kind]}"] = out
            return out

        return record

    block = Block.__call__

    def record_stream(self, x):
        outputs.setdefault("embedding", x)
        outputs["stream"] = block(self, x)
        return outputs["stream"]

    with (
        mock.patch.object(Block, "__call__", record_stream),
        mock.patch.object(Attention, "__call__", recording("attention", Attention.__call__)),
        mock.patch.object(FeedForward, "__call__", recording("ffn", FeedForward.__call__)),
    ):
        outputs["logits"] = tree.apply(cfg, params, jnp.asarray(tokens_BL))
    return outputs
