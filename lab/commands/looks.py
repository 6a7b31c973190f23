"""How `lab compare` trains its ladder look by look, what each look says, and the answer at the end."""

import argparse
import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from lab.commands.analysis import Refused, ask
from lab.commands.run import failed_alone, forget_failures, train
from lab.config import RunConfig
from lab.plan import grid
from lab.plan.looks import Look, asked, stop_reason
from lab.store import export
from lab.store.failures import trained_as
from lab.store.store import Store

CLEAR = "leaves out 1"
FILES = {"--json": "compare.json", "--figure": "compare.png", "-o": "compare.html"}


@dataclass(frozen=True)
class Ladders:
    """Both arms' runs (baseline, arm) at their tuned rates, paired by place, with their names and file stems;
    `cautions` are of how they were trained."""

    store: Store
    out: Path
    names: tuple[str, str]
    stems: tuple[str, str]
    runs: tuple[Sequence[RunConfig], Sequence[RunConfig]]
    cautions: list[str] = field(default_factory=list)

    def after(self, look: Look) -> list[RunConfig]:
        return grid.unique(runs[i] for runs in self.runs for i in look.pairs)

    def left(self, look: Look) -> list[RunConfig]:
        """What is still to be trained for a look."""
        ids = {config: trained_as(self.store, config).run_id for config in self.after(look)}
        return [config for config, run_id in ids.items() if self.store.trainable(run_id)]

    def tables(self, look: Look) -> list[Path]:
        """A table an arm of the runs of a look, and no others."""
        self.out.mkdir(parents=True, exist_ok=True)
        paths = [self.out / f"{stem}.csv" for stem in self.stems]
        for path, runs, name in zip(paths, self.runs, self.names, strict=True):
            export.write(export.rows(self.store, [runs[i] for i in look.pairs], name), path)
        return paths


def told(looks: Sequence[Look], cells: Sequence[RunConfig], stops: str) -> str:
    """When a comparison is looked at, and what a look has to show."""
    if len(looks) == 1:
        return (
            "no look before the end: one takes three sizes and five runs at two budgets, and a third budget"
        )
    parts = ", ".join(f"{len(look.pairs)} ({100 * look.share:.3g} %)" for look in looks)
    levels = f"{percent(looks[0])}; of the last {percent(looks[-1])}; over all 95 %"
    return (
        f"looks after so many pairs (part of the FLOPs): {parts}; it stops where the interval of the "
        f"multiplier at {asked(cells):.3g} FLOPs ({levels}) {stops}"
    )


def percent(look: Look) -> str:
    return f"{100 * look.level:.3g} %"


def run(options: argparse.Namespace, ladders: Ladders, looks: Sequence[Look]) -> int:
    """Train look by look, and answer where one ends it. A look that leaves nothing to train goes on. A pair
    of which a run failed is left out, which is said, and the exit status is 1."""
    if options.retry:  # what failed before is tried again once, not at every look
        forget_failures(ladders.store, ladders.after(looks[-1]))
        options.retry = ""
    for look, following in zip(looks, [*looks[1:], None], strict=True):
        store, out = ladders.store, ladders.out
        status, over = train(options, store, ladders.after(look), out, out.name)
        failed = failed_alone(options, store, ladders.after(look))
        if not over or (status and not failed):
            return status
        look, cautions = without(ladders, look, failed)
        if following is None:
            cautions += [looked_at(look)] * (look.of > 1)
            break
        if ladders.left(following) and (why := end_reason(options, ladders, look)):
            left, flag = len(ladders.left(looks[-1])), flags(options)
            cautions.append(f"{why}; {left} runs are left to train: type it without {flag}")
            break
    answer(ladders, look, cautions)
    return status


def without(ladders: Ladders, look: Look, failed: Sequence[RunConfig]) -> tuple[Look, list[str]]:
    """A look at the pairs of which no run failed, and what is said of the others."""
    lost = [i for i in look.pairs if any(runs[i] in failed for runs in ladders.runs)]
    if not lost:
        return look, []
    ids = ", ".join(run.run_id for run in failed[:3]) + ", ..." * (len(failed) > 3)
    words = f"{len(lost)} of {len(look.pairs)} pairs are left out, as a run of theirs failed ({ids}); "
    kept = replace(look, pairs=[i for i in look.pairs if i not in lost])
    return kept, [words + "the same command with --retry failed trains them again"]


def flags(options: argparse.Namespace) -> str:
    return "--stop-when-clear" if options.stop_when_clear else "--stop-when-narrow"


def looked_at(look: Look) -> str:
    return (
        f"looked at {look.of} times while it was trained: intervals are of {percent(look)}, so that all "
        "looks together hold the truth 95 times of 100"
    )


def end_reason(options: argparse.Namespace, ladders: Ladders, look: Look) -> str:
    """Why a look ends the comparison; "" where it goes on. Says what it saw."""
    flops, path = asked(ladders.runs[1]), ladders.out / "look.json"
    path.unlink(missing_ok=True)
    words = "--at", repr(flops), "--level", repr(look.level), "--json", path
    try:
        ask("compare", *ladders.tables(look), *words)
    except Refused as error:
        print(f"{look}: goes on, as it tells nothing: {error}")
        return ""
    found = json.loads(path.read_text())
    row = found["budgets"][-1]
    ends = " to ".join("no end" if end is None else f"{end:.3g}" for end in (row["low"], row["high"]))
    value = "no multiplier" if row["multiplier"] is None else f"{row['multiplier']:.3g} times"
    seen = f"{value} ({ends}, {percent(look)}) at {flops:.3g} FLOPs"
    why = stop_reason(found, options.stop_when_narrow, options.stop_when_clear)
    print(f"{look}, {len(look.pairs)} pairs: {seen}: {why + ', it stops' if why else 'goes on'}")
    if not why:
        return ""
    return (
        f"STOPPED at {look}, after {len(look.pairs)} pairs, {100 * look.share:.2g} % of the FLOPs: {seen}, "
        f"the largest budget planned, and {why}. All looks together are right 95 times of 100, so intervals "
        f"are of {percent(look)}; stopping takes a value away from 1: in simulation by 0 to 5 % at budgets "
        "that are trained, by 1 to 12 % beyond"
    )


def answer(ladders: Ladders, look: Look, cautions: Sequence[str] = ()) -> None:
    """Both arms' tables, their comparison's figure, JSON and page in `out`, and what it says; `cautions` are
    of how it ended, and stand in all of them beside the ladders' own."""
    paths, out = ladders.tables(look), ladders.out
    words = [word for flag, file in FILES.items() for word in (flag, str(out / file))]
    words += [word for line in (*cautions, *ladders.cautions) for word in ("--caution", line)]
    if look.of > 1:
        words += ["--level", repr(look.level)]
        words += [] if look.last else ["--at", repr(asked(ladders.runs[1]))]
    print(ask("compare", *paths, *words))
    print(f"tables, figure and page in {out}")
    print(f"Next: python -m analysis audit {shlex.quote(str(paths[-1]))}")
