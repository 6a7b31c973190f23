"""The training loop around a torch model: autocast, clipping, the optimiser."""

from collections.abc import Callable
from typing import Any

from bench.child import Work
from bench.peers import shapes


def work(task: dict[str, Any], build: Callable[[shapes.Shape], tuple[Any, Any, Callable]]) -> Work:
    """`build(shape)` gives a model, its optimiser and loss(model, tokens_BL of context + 1)."""
    import torch

    torch.set_num_threads(task["threads"])
    torch.manual_seed(0)
    shape = shapes.shape_of(task)
    model, optimiser, loss_of = build(shape)
    model.train()
    total = sum(p.numel() for p in model.parameters())
    if task["mode"] == "compile":
        model = torch.compile(model)
    data = [torch.from_numpy(batch).long() for batch in shapes.batches(shape, seed=task["number"])]
    mixed = torch.autocast("cpu", dtype=torch.bfloat16, enabled=task["dtype"] == "bfloat16")
    losses, made = [], 0

    def do(n: int) -> None:
        nonlocal made
        for _ in range(n):
            with mixed:
                loss = loss_of(model, data[made % len(data)])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), shapes.CLIP)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            made += 1
        losses.append(loss.item())

    facts = {"params_all": total, "torch": torch.__version__}
    return Work(do, shape.tokens, facts, lambda: {"first_loss": losses[0], "loss": losses[-1]})
