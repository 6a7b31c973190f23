"""transformers' GPT2LMHeadModel with a plain AdamW loop (fused AdamW, the fastest on CPU)."""

from typing import Any

from bench.child import Work
from bench.peers import shapes, torch_loop


def prepare(task: dict[str, Any]) -> Work:
    return torch_loop.work(task, build)


def build(shape: shapes.Shape):
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=shape.vocab,
            n_positions=shape.context,
            n_embd=shape.width,
            n_layer=shape.layers,
            n_head=shape.heads,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            activation_function="gelu_pytorch_tanh",  # GPT-2's own function, in one kernel
            use_cache=False,
            bos_token_id=0,
            eos_token_id=0,
        )
    )
    optimiser = torch.optim.AdamW(
        model.parameters(),
        lr=shapes.LEARNING_RATE,
        betas=shapes.BETAS,
        weight_decay=shapes.WEIGHT_DECAY,
        fused=True,
    )

    def loss_of(model, tokens):
        x = tokens[:, :-1]
        return model(input_ids=x, labels=x).loss  # it shifts the labels itself

    return model, optimiser, loss_of
