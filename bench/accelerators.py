"""Shapes to plan on chips that are not here: `lab plan bench/accelerators.py:SIZE --on CHIPS --json`.

The shapes of the bench and the upper ends of ladders, in bfloat16. What the TPU's compiler said of them is
kept in bench/results/plan.json and shown in docs/performance.md.
"""

from lab.config import DataConfig, ModelConfig, OptimConfig, RunConfig

NO_DATA = DataConfig(corpus="none", sha256="0" * 64)  # never read
GPT2 = {"norm": "layernorm", "position": "learned", "activation": "gelu", "tied": True}
SIZES = {  # (layers, width, heads), vocabulary, context, sequences an update
    "bench": ([(2, 64, 2), (5, 128, 4), (6, 384, 6)], 256, 128, 32),
    "124M": ([(12, 768, 12)], 50_304, 1024, 64),
    "1B": ([(24, 2048, 16)], 32_000, 1024, 128),
    "3B": ([(32, 2560, 20)], 50_304, 2048, 64),
    "7B": ([(32, 4096, 32)], 32_000, 2048, 512),
}


def runs(size: str) -> list[RunConfig]:
    shapes, vocab, context, batch = SIZES[size]
    look = GPT2 if size == "bench" else {}
    return [
        RunConfig(
            model=ModelConfig(
                n_layer=layers,
                d_model=width,
                n_head=heads,
                vocab_size=vocab,
                seq_len=context,
                dtype="bfloat16",
                **look,
            ),
            optim=OptimConfig(learning_rate=3e-4),
            data=NO_DATA,
            tokens=20 * 12 * layers * width**2 // (batch * context) * batch * context or batch * context,
            batch_tokens=batch * context,
        )
        for layers, width, heads in shapes
    ]
