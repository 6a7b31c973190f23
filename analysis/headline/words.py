"""A frontier's answer in words."""

import numpy as np

from analysis.figures.words import human, short
from analysis.fitting import Band
from analysis.frontiers import Frontier

FAR = 10.0  # times the largest budget, or below the least, beyond which a size and a loss are far off


def model_of(front: Frontier, flops: float, of_loss: Frontier | None = None) -> str:
    """A frontier's model for a budget in words, with its 95 % intervals, its loss by `of_loss` where that is
    another; "" where it gives none there."""
    try:
        n, d, loss = front.at([flops])
    except ValueError:
        return ""
    by = ""
    if of_loss not in (None, front):
        loss, by = of_loss.at([flops])[2], f", the loss by {named(of_loss)}"
    return (
        f"{human(short(n.value[0]))} parameters{span(n)} on {human(short(d.value[0]))} tokens{span(d)}, "
        f"loss {loss.value[0]:.3f}{span(loss, '{:.3f}'.format)}{front.unit}{by}"
    )


def loss_of(front: Frontier, flops: float) -> Band | None:
    """The loss at a budget with its interval; None where the method does not reach there."""
    try:
        loss = front.at([flops])[2]
    except ValueError:
        return None
    return Band(*(float(end[0]) for end in (loss.value, loss.low, loss.high)))


def named(front: Frontier) -> str:
    """A method in plain words, then as commands call it."""
    if front.kind == "valleys":
        return f"valleys of equal compute ({front.method})"
    if front.kind == "the law":
        law, _, objective = front.method.removeprefix("fit of ").partition(" (")
        return f"the fitted law ({', '.join(filter(None, [law, objective.rstrip(')')]))})"
    return front.method


def is_far(front: Frontier, flops: float) -> bool:
    """Whether a budget is a far extrapolation, above the frontier's own or below."""
    return flops > 0.999 * FAR * float(front.flops.max()) or flops < 1.001 * float(front.flops.min()) / FAR


def where(front: Frontier, flops: float) -> str:
    """Where a budget lies beside those of the frontier's points."""
    least, top = float(front.flops.min()), float(front.flops.max())
    if flops > top:
        return f"{flops / top:.3g} × the largest budget"
    return "inside" if flops >= least else f"{flops / least:.3g} × the smallest budget"


def span(band: Band, write=None) -> str:
    """The 95 % interval of the first number of a band."""
    low, high = float(band.low[0]), float(band.high[0])
    if not np.isfinite([low, high]).all():
        return ""
    write = write or (lambda value: human(short(value)))
    return f" ({write(low)} to {write(high)})"
