"""Which pairs of a ladder `lab compare` trains: what --flops and --within allow, decided once."""

import argparse
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from lab.commands.experiment import CommandError
from lab.commands.view import duration
from lab.config import RunConfig
from lab.launch.processes import at_once
from lab.plan import arms, grid
from lab.store import seals
from lab.store.store import Store

ANSWER_SECONDS = 10  # to start workers, and for the answer, its figure and its page
LEAST = 5  # runs of a ladder of fewer than three budgets
Both = Sequence[Sequence[RunConfig]]  # of (baseline, arm)


@dataclass(frozen=True)
class Pace:
    """What was trained so far: the `seconds` gone, and those that had been `assumed` of it."""

    seconds: float = 0.0
    assumed: float = 0.0

    @property
    def slower(self) -> float:
        return self.seconds / self.assumed if self.assumed else 1.0


def affordable(
    options: argparse.Namespace, store: Store, ladders: Both, tried: Both, pace: Pace | None = None
) -> list[int]:
    """Indices of the pairs that fit with the runs that tune, from the least budget on. These cost what they
    cost whether they are there or not; of the others what the store holds is free. Time is at the `pace` of
    those that tuned, compiling and all, or, where there were none to train, of the runs that are timed.
    Where too few fit and the tuning is paid (there is a `pace`), the least that show a law, which is said.

    Raises:
      CommandError: too few to compare by, and nothing was spent yet.
    """
    tuning = {run.run_id: run for own in tried for run in own}

    def cost(kept: Sequence[int]) -> tuple[float, float]:
        every = tuning | {own[i].run_id: own[i] for own in ladders for i in kept}
        records = {run_id: store.status_and_record(run_id)[1] or {} for run_id in every}
        left = [every[run_id] for run_id, record in records.items() if not record or run_id in tuning]
        timed = [
            (every[run_id], took) for run_id, record in records.items() if (took := record.get("seconds"))
        ]
        if pace and pace.assumed:
            further = [run for run in left if run.run_id not in tuning]
            seconds = pace.seconds + pace.slower * assumed_seconds(options, further)
        else:
            seconds = assumed_seconds(options, left, timed)
        return grid.price(left).flops, seconds + ANSWER_SECONDS

    def fits(kept: Sequence[int]) -> bool:
        flops, seconds = cost(kept) if options.flops or options.within else (0.0, 0.0)
        return flops <= (options.flops or flops) and seconds <= (options.within or seconds)

    kept = arms.affordable(ladders[0], fits)
    groups = arms.budgets([ladders[0][i] for i in kept])
    if len(groups) < 3 and len(kept) < LEAST:
        every = arms.budgets(ladders[0])
        enough = next(n for n in (1, 2, 3) if n == 3 or sum(map(len, every[:n])) >= LEAST)
        least = sorted(i for group in every[:enough] for i in group)
        flops, seconds = cost(least)
        budgets = f"{len(groups)} budget{'s' * (len(groups) != 1)}"
        few = (
            f"{len(kept)} pairs of runs at {budgets} show no law to compare by: it takes three budgets, or "
            f"{LEAST} pairs of three sizes. The least {len(least)}, with the runs that tune, take "
            f"{flops:.3g} FLOPs and about {duration(seconds)}"
        )
        if pace is None:
            raise CommandError(few)
        print(f"{few}. As rates are being tuned, these are trained, {over(options, flops, seconds)}")
        return least
    return kept


def over(options: argparse.Namespace, flops: float, seconds: float) -> str:
    """By how much a cost is over what is allowed."""
    words = []
    if options.flops and flops > options.flops:
        words.append(f"{flops - options.flops:.3g} FLOPs over --flops")
    if options.within and seconds > options.within:
        words.append(f"about {duration(seconds - options.within)} over --within")
    return " and ".join(words)


def assumed_seconds(options: argparse.Namespace, runs: Sequence[RunConfig], timed=()) -> float:
    workers = options.workers or at_once(options.devices, options.hosts)
    return grid.seconds_left([(run, 1.0) for run in runs], workers, timed)


def decide(
    options: argparse.Namespace,
    store: Store,
    name: str,
    cells: Both,
    ladders: Both,
    tried: Both,
    pace: Pace | None = None,
) -> list[int]:
    """Indices of the pairs that are trained: those that fit when this was first asked of these `cells`, as
    what is trained since would let more in. Without a `pace`, what is expected before any is trained."""
    if options.flops is None and options.within is None:
        return affordable(options, store, ladders, tried)
    asked = [options.flops, options.within, options.rates, *(run.run_id for own in cells for run in own)]
    digest = hashlib.sha256(repr(asked).encode()).hexdigest()
    path = store.root / "compared" / f"{name}-{digest[:8]}.json"
    first = seals.read(path)
    if first is None and pace is None:  # the arm's runs are of this comparison alone: it began to tune
        begun = any(store.status_and_record(run.run_id)[1] for run in tried[1])
        return affordable(options, store, ladders, tried, Pace() if begun else None)
    if first is None:
        first = seals.write_first(path, {"pairs": affordable(options, store, ladders, tried, pace)})
    return first["pairs"]
