"""nanoGPT's model.py (a checkout that the user names) and the step of its train.py."""

import sys
from typing import Any

from bench.child import Work
from bench.peers import shapes, torch_loop


def prepare(task: dict[str, Any]) -> Work:
    sys.path.insert(0, task["folder"])
    return torch_loop.work(task, build)


def build(shape: shapes.Shape):
    import torch
    from model import GPT, GPTConfig  # nanoGPT's

    model = GPT(
        GPTConfig(
            block_size=shape.context,
            vocab_size=shape.vocab,
            n_layer=shape.layers,
            n_head=shape.heads,
            n_embd=shape.width,
            dropout=0.0,
            bias=False,
        )
    )
    optimiser = model.configure_optimizers(shapes.WEIGHT_DECAY, shapes.LEARNING_RATE, shapes.BETAS, "cpu")
    # its own choice is fused on CUDA only; on CPU fused is faster and now there too
    optimiser = torch.optim.AdamW(
        optimiser.param_groups, lr=shapes.LEARNING_RATE, betas=shapes.BETAS, fused=True
    )

    def loss_of(model, tokens):
        return model(tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous())[1]

    return model, optimiser, loss_of
