"""The training loop: of a run on one device, of a run spread over many, and of runs in a pack."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import jax
import numpy as np

from lab.config import RunConfig
from lab.train import parallel
from lab.train.lanes import Lanes
from lab.train.run import GOES_ON, Job, Record, Run, check_corpus

Outcome = Record | Exception | None  # a run's record, what went wrong, or None when it was stopped


@dataclass
class Crew:
    """The runs that are trained together. One that ends, diverges, fails or is taken over leaves
    its lane, and the next one of its shape takes it. When no other is left and half the lanes are
    idle, the runs move to a program of half as many: one more compilation for each size."""

    lanes: Lanes
    offer: Callable[[], Job | None]  # gives the next claimed run of the shape, if there is one
    ended: Callable[[RunConfig, Outcome], None]  # hears of every run that leaves, once
    stopping: Callable[[], bool] = lambda: False
    runs: dict[int, Run] = field(default_factory=dict)  # by lane
    vacancies: bool = True  # since lanes were last given away

    def train(self) -> None:
        """Until every run has ended and none is offered, or asked to stop.

        Raises:
          Exception: the program itself failed, which is no single run's fault; or what `ended`
            raised. The runs that have not ended go on from their checkpoints when claimed again.
        """
        pending = None  # the updates whose losses were not read yet
        try:
            while self.fill_lanes():
                if parallel.agreed(self.stopping()):
                    self.read(pending)
                    self.let_each(Run.stop)
                    return
                sent = self.send()
                self.read(pending)  # while the devices are at work on those just sent
                pending = sent
                due = {run for run in self.runs.values() if parallel.agreed(run.keeper.save_is_due())}
                at_point = {run for run in self.runs.values() if run.at_point}
                if due or at_point or self.vacancies:
                    self.read(pending)
                    pending = None
                    # where few of many lanes are at a point, each is scored by itself
                    self.lanes.score_all = 4 * len(at_point) >= self.lanes.number
                    self.let_each(lambda run, due=due: run.between_dispatches(run in due))
        finally:
            for run in self.runs.values():
                with suppress(Exception):  # of what brought it here
                    run.keeper.close()

    def send(self) -> tuple[int, dict[str, jax.Array], dict[Run, int]]:
        """Send off as many updates of all runs as none of them must stop within; each run's first of them."""
        begun = {run: run.step for run in self.runs.values()}
        n = min(run.updates_to_point() for run in self.runs.values())
        tokens_RSBL = self.lanes.no_tokens()
        for lane, run in self.runs.items():
            tokens_RSBL[lane, :n] = run.next_batches(n)
            run.step += n
        return n, self.lanes.step(tokens_RSBL, n), begun

    def read(self, sent: tuple[int, dict[str, jax.Array], dict[Run, int]] | None) -> None:
        """Wait for updates' losses; a run with one that is no number leaves."""
        if sent is None:
            return
        n, metrics, begun = sent
        by_lane = {
            name: np.asarray(values).reshape(self.lanes.number, -1) for name, values in metrics.items()
        }
        for run, first in begun.items():
            own = {name: values[run.lane, :n] for name, values in by_lane.items()}
            if self.runs.get(run.lane) is run and not run.read(first, **own):
                self.let(run, Run.diverge)

    # --- who is in it ----------------------------------------------------------------------

    def fill_lanes(self) -> bool:
        """Give the free lanes to runs that are offered; False when no run is left."""
        while self.vacancies:
            self.vacancies = False
            jobs = list(islice(iter(self.offer, None), self.lanes.number - len(self.runs)))
            each = self.smallest(len(self.runs) + len(jobs))
            if each < self.lanes.each and not (self.runs and self.stopping()):
                with self.clock_stopped():
                    self.lanes.resize(each, list(self.runs))
                    self.runs = dict(enumerate(self.runs.values()))
                    for lane, run in self.runs.items():
                        run.lane = lane
            free = [lane for lane in range(self.lanes.number) if lane not in self.runs]
            for lane, job in zip(free, jobs, strict=False):
                self.join(lane, job)
        return bool(self.runs)

    def smallest(self, runs: int) -> int:
        """The least of each, each / 2, ... lanes a device that holds so many runs."""
        each = self.lanes.each
        while each > 1 and runs <= len(self.lanes.devices) * ((each + 1) // 2):
            each = (each + 1) // 2
        return each

    def join(self, lane: int, job: Job) -> None:
        keeper = None
        with self.clock_stopped():
            try:
                corpus = job.corpus()
                check_corpus(job.config, corpus)
                keeper = job.keeper()
                run = self.runs[lane] = Run(job, corpus, keeper, self.lanes, lane)
            except BaseException as error:
                if keeper:
                    keeper.close()
                if isinstance(error, jax.errors.JaxRuntimeError) or not isinstance(error, Exception):
                    raise
                self.vacancies = True
                self.ended(job.config, error)
                return
        if run.trunk_diverged:
            self.let(run, Run.diverge)
        elif run.step >= job.config.steps:  # only its record is missing
            self.let(run, Run.finish)

    def let_each(self, action: Callable[[Run], Any]) -> None:
        for run in list(self.runs.values()):
            self.let(run, action)

    def let(self, run: Run, action: Callable[[Run], Any]) -> None:
        """Let a run do something for itself: when it ends, or fails, it leaves."""
        try:
            outcome = action(run)
            if outcome is GOES_ON:
                return
            run.keeper.close()
        except (jax.errors.JaxRuntimeError, MemoryError):
            raise  # as likely as not from the program they share
        except Exception as error:
            outcome = error
            with suppress(Exception):
                run.keeper.close()
        with self.clock_stopped():
            del self.runs[run.lane]
        self.vacancies = True
        self.ended(run.config, outcome)

    @contextmanager
    def clock_stopped(self) -> Iterator[None]:
        """While runs come and go, and programs are compiled, no run's time is counted."""
        self.lanes.clock.go_on(0)
        try:
            yield
        finally:
            self.lanes.clock.go_on(len(self.runs))
