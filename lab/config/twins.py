"""What the numbers of a run follow from, in one spelling: runs that are equal in it are one run, however
they were written: a warm-up as a fraction or in steps, a horizon of their own length, a cool-down that
never comes."""

import json
import struct
from dataclasses import replace
from functools import lru_cache
from typing import Any


def numbers(config: Any) -> tuple:
    """The program and all that it is fed, of a RunConfig; hashable."""
    data, length = config.data, config.model.seq_len
    whole, some = (data.train_tokens - 1) // length, data.unique_tokens // length
    windows = min(whole, some) if data.unique_tokens else whole
    fed = (data.sha256, windows, config.steps, config.seed, config.data_seed)
    return *program(config.shape), fallen(config), fed


@lru_cache(1024)  # a grid of thousands has a few
def program(shape: Any) -> tuple:
    """A Shape and the settings of its model and optimiser, in one spelling."""
    model, optim = shape.model, shape.optim
    settings = tuple(frozenset(json.loads(part.settings or "{}").items()) for part in (model, optim))
    width = model.ffn_width if model.has("d_ff") else 0
    model = replace(model, d_ff=width, settings="")
    optim = replace(optim, schedule="constant", settings="")
    return replace(shape, model=model, optim=optim), settings


def fallen(config: Any) -> tuple[tuple, str]:
    """The traced numbers, in the float32 that the step has them in, as its schedule uses them
    (lab/train/schedule.py): the length of its fall in the place of the cool-down; and its form, "none" where
    it does not fall within the run."""
    hyper, kind = dict(config.hyper), config.optim.schedule
    horizon, warmup, cooldown = (hyper[name] for name in ("horizon", "warmup", "cooldown"))
    length = abs(cooldown) * horizon if kind == "constant" else horizon - warmup
    kind = "cosine" if kind == "cosine" else "root" if kind == "constant" and cooldown < 0 else "line"
    if hyper["final"] == 1 or horizon - length >= config.steps - 1:
        kind, length, horizon, hyper["final"] = "none", 0.0, float(config.steps), 1.0
    hyper |= {"cooldown": length, "horizon": horizon, "warmup": max(1.0, warmup)}
    single = {name: struct.unpack("f", struct.pack("f", value))[0] for name, value in hyper.items()}
    return tuple(sorted(single.items())), kind
