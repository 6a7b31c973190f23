"""A run of three updates, and as many more as FAULT_POINTS (`7` or `1-120`) names: they differ in
their ids alone, since at a constant rate the horizon of its decay decides nothing."""

import os

import tiny

from lab.plan.grid import product, with_fields


def runs():
    run = tiny.runs()[0]
    base = with_fields(run, {"tokens": 3 * run.batch_tokens, "optim__schedule": "constant"})
    first, _, last = os.environ.get("FAULT_POINTS", "0").partition("-")
    numbers = range(int(first), int(last or first) + 1)
    return product(base, optim__horizon_steps=[100 + number for number in numbers])
