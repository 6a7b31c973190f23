"""The states of the runs that are trained together, each in a lane, and the time these runs share."""

import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from typing import Any

import jax
import numpy as np

from lab.config import OptimConfig, RunConfig, Shape
from lab.models.target import target_of
from lab.train import optimizers
from lab.train.evaluate import EVAL_BLOCK, Evaluator, window_nats
from lab.train.layout import like
from lab.train.parallel import Program, Way, compile_step
from lab.train.step import TrainState, hyper_of, initial_state, micro_batch


class Clock:
    """Seconds, each divided by the number of runs that shared it. It stands still while runs come
    and go and programs are compiled."""

    def __init__(self) -> None:
        self.before, self.since, self.runs = 0.0, 0.0, 0

    def now(self) -> float:
        return self.before + (time.monotonic() - self.since) / self.runs if self.runs else self.before

    def go_on(self, runs: int) -> None:
        self.before, self.since, self.runs = self.now(), time.monotonic(), runs


def evaluated(optim: OptimConfig, average: bool, stacked: bool, state: TrainState) -> Any:
    """The weights of a state, or of a stack of them, that are scored: see `optimizers.evaluated`."""
    if not average and not optimizers.find(optim).averages:
        return state.params
    return program_of_weights(optim, average, stacked)(state.params, state.opt_state)


@cache
def program_of_weights(optim: OptimConfig, average: bool, stacked: bool) -> Any:
    weights = partial(optimizers.evaluated, optim, average=average)
    return jax.jit(jax.vmap(weights) if stacked else weights)


class Lanes:
    """The lanes of one shape's program. It is compiled when the first state is asked for.

    Args:
      each: lanes on every device; 0: one lane, spread over the devices as `way` says.
      tensor: of the devices, how many share each product.
      remat: what of a block is kept for its gradient, an entry of `target.POLICIES`.
    """

    def __init__(
        self,
        shape: Shape,
        way: Way,
        devices: tuple[jax.Device, ...],
        each: int,
        tensor: int = 1,
        remat: str = "",
    ):
        self.shape, self.way, self.devices, self.each, self.tensor = shape, way, devices, each, tensor
        self.on = target_of(devices[0], remat=remat)
        self.states: Any = None  # as the program places them
        self.born: TrainState | None = None  # by shapes and types: that which lies in the lane already
        self.nats: dict[Any, np.ndarray] = {}  # (R, W) of windows, under the weights as they are now
        self.score_all = False  # whether all lanes are scored when one is
        self.compile_seconds = 0.0
        self.clock = Clock()

    @property
    def number(self) -> int:  # R
        return self.each * len(self.devices) or 1

    def initial(self, config: RunConfig) -> TrainState:
        """The state in which a run begins; of a program that bears it where it lies, in the lane, its shapes
        and types, which `put` knows."""
        began = time.monotonic()
        program = self.choose()
        if program.born and self.states is None:
            self.states = program.born(config)
            self.compile(began)
            self.born = replace(like(self.shape), hyper=hyper_of(config))
            return self.born
        state = initial_state(config)
        if self.states is None:
            self.states = program.place(state)
            self.compile(began)
        return state

    def choose(self) -> Program:
        self.program = compile_step(self.shape, self.way, self.devices, self.on, self.tensor, self.each)
        return self.program

    def compile(self, began: float) -> None:
        """Compile (or find in the cache) all that the lanes need, by calls that change nothing."""
        jax.block_until_ready(self.step(self.no_tokens(), 0))
        windows = np.zeros((self.block, self.shape.model.seq_len + 1), np.int32)
        mask = np.zeros((self.block, self.shape.model.seq_len), np.float32)
        if self.program.score:
            jax.block_until_ready(self.program.score(self.states.params, windows, mask))
        else:
            jax.block_until_ready(self.evaluate(self.fetch(0).params, windows, mask))
        if self.program.evaluate:
            jax.block_until_ready(self.program.evaluate(self.states.params, windows, mask))
        self.compile_seconds += time.monotonic() - began

    def resize(self, each: int, lanes: list[int]) -> None:
        """Move the states of `lanes` to the first lanes of a program of `each` on a device."""
        began, states = time.monotonic(), [self.fetch(lane) for lane in lanes]
        self.each, self.states = each, None
        if states:
            self.states = self.choose().place(states[0])
            self.compile(began)
        for lane, state in enumerate(states):
            self.put(lane, state)

    def no_tokens(self) -> np.ndarray:
        """Of a dispatch, (R, S, B, L + 1): to be filled."""
        return np.zeros((self.number, *self.shape.dispatch), np.int32)

    def step(self, tokens_RSBL: np.ndarray, n: int) -> dict[str, jax.Array]:
        """Send off the first n of S updates; their metrics, (R, S), or (S,) of a spread run."""
        self.nats = {}
        self.states, metrics = self.program.step(self.states, tokens_RSBL, np.int32(n))
        return metrics

    def put(self, lane: int, state: TrainState) -> None:
        self.nats = {}
        if state is self.born:
            return
        if self.program.put:
            self.states = self.program.put(self.states, lane, state)
        else:
            self.states = None  # before there is another
            self.states = self.program.place(state)

    def fetch(self, lane: int) -> TrainState:
        return self.program.fetch(self.states, lane)

    def window_nats(self, lane: int, windows: Evaluator, average: bool = False) -> np.ndarray:
        """Nats of each window under a lane's weights, or the average of them, (W,)."""
        key, all_at_once = (windows.key, average), self.program.evaluate
        weights = partial(evaluated, self.shape.optim, average)
        if all_at_once and self.score_all and key not in self.nats:
            self.nats[key] = windows.nats(all_at_once, weights(True, self.states))
        if key in self.nats:
            return self.nats[key][lane]
        if self.program.score:  # where they lie, all devices at work
            return windows.nats(self.program.score, weights(False, self.states), self.block)
        return windows.nats(self.evaluate, weights(False, self.fetch(lane)))

    @property
    def block(self) -> int:
        """Windows a call, on all devices together."""
        return EVAL_BLOCK * self.program.parts

    @property
    def evaluate(self) -> Callable[..., jax.Array]:
        """Nats of each window under one run's weights."""
        return partial(window_nats, self.shape.model, objective=self.shape.objective)

    def facts(self) -> dict[str, Any]:
        """What a run's record says of where it was trained: `devices` are those whose time is counted, in a
        pack all that the runs share."""
        spread = 1 if self.each else len(self.devices)
        return {
            "device": self.devices[0].device_kind,
            "devices": len(self.devices),
            "way": "pack" if self.each else self.way,
            "micro_batch": micro_batch(self.shape, spread // self.tensor, self.devices[0].platform),
            **({"pack": self.each} if self.each else {}),
            **({"tensor": self.tensor} if self.tensor > 1 else {}),
        }
