"""What a person sees while a grid trains: a live table in a terminal, plain lines elsewhere."""

import sys
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from lab.config import RunConfig
from lab.config.fields import columns_of
from lab.models import counts
from lab.plan.grid import seconds_left
from lab.store.failures import trained_as
from lab.store.store import Store

FINISHED = ("done", "diverged", "failed", "unreadable")  # nothing more happens to these
PLAIN_SECONDS = 30.0  # between summaries when the output is no terminal
COLUMNS = {"optimizer", "learning_rate"}  # fields that are told of every run
MOST_RESULTS = 60  # rows of results that stay in the terminal


def human(number: float) -> str:
    """1234567 -> 1.23M."""
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= size:
            return f"{number / size:.3g}{letter}"
    return f"{number:.3g}"


def duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{seconds:02d}s"


class View:
    """Follows a grid in its store. Call `refresh` often; it decides how often to read."""

    def __init__(self, store: Store, configs: Sequence[RunConfig], workers: int):
        self.store, self.configs, self.workers = store, list(configs), max(1, workers)
        self.apart = set_apart(self.configs)
        self.status: dict[str, str] = {}
        self.timed: list[tuple[RunConfig, float]] = []
        self.device_seconds: Counter[str] = Counter()  # of finished runs, by the kind of device
        self.losses: dict[str, float | None] = {}
        self.records: dict[str, dict[str, Any]] = {}
        self.silent: dict[str, float] = {}  # and when its claim was last written
        self.pause = max(0.5, len(configs) / 1000)
        self.read_at = self.printed_at = 0.0
        self.live: Any = None  # the table, in a terminal

    def __enter__(self) -> "View":
        self.read(quiet=True)
        if sys.stdout.isatty():
            from rich.live import Live

            self.live = Live(auto_refresh=False)
            self.live.__enter__()
        return self

    def __exit__(self, *error) -> None:
        self.refresh(now=True)
        if self.live:  # what it shows last stays
            self.live.update(self.results(), refresh=True)
            self.live.__exit__(*error)

    def refresh(self, now: bool = False) -> None:
        if not now and time.monotonic() - self.read_at < self.pause:
            return
        self.read()
        self.read_at = time.monotonic()
        if self.live:
            self.live.update(self.table(), refresh=True)
        elif now or self.read_at - self.printed_at > PLAIN_SECONDS:
            self.printed_at = self.read_at
            print(self.summary(), flush=True)

    def read(self, quiet: bool = False) -> None:
        """Read what is not finished yet; a run that has just ended gets a line."""
        for i, first in enumerate(self.configs):
            if self.status.get(first.run_id) in FINISHED:
                continue
            config = trained_as(self.store, first)
            run_id = config.run_id
            if config != first:  # it ran out of memory: this one stands for it from now on
                self.configs[i] = config
                self.status.pop(first.run_id, None)
            status, record = self.store.status_and_record(run_id)
            if status == "done":
                if record.get("seconds"):  # which it took from where it began, however it is planned now
                    began = replace(config, init_from=record.get("init_from") or "")
                    self.timed.append((began, record["seconds"]))
                self.losses[run_id] = record["loss"]
            if record:
                self.records[run_id] = record
                kind, devices = record.get("device") or "device", record.get("devices") or 1
                if seconds := record.get("seconds"):  # of one that diverged too
                    self.device_seconds[kind] += devices * seconds
            if status in FINISHED and status != self.status.get(run_id) and not (quiet or self.live):
                loss = self.losses.get(run_id)
                end = (f"loss {loss:.4f}" if loss else "") + " (trunk)" * config.trunk
                print(
                    f"  {run_id}  {describe_run(config, self.apart.get(run_id, ''))}  {status}  {end}",
                    flush=True,
                )
            self.status[run_id] = status

    def find_silent(self) -> None:
        """Call `silent` what only seems to run: who looks once can't wait for a beat."""
        running = [run_id for run_id, status in self.status.items() if status == "running"]
        since = {run_id: self.store.silent_since(run_id) for run_id in running}
        self.silent = {run_id: beat for run_id, beat in since.items() if beat is not None}
        self.status |= dict.fromkeys(self.silent, "silent")

    def silence(self) -> str:
        """Since when, on which hosts, and what becomes of such runs."""
        hosts = {str((self.store.holder(run_id) or {}).get("host", "?")) for run_id in self.silent}
        names = ", ".join(sorted(host.partition("/")[0] for host in hosts)[:4])
        first = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(min(self.silent.values())))
        return f"  since {first} (on {names}); `lab run` takes such a run over"

    @property
    def running(self) -> int:
        """Workers at work: one that trains a pack holds several runs."""
        ids = [run_id for run_id, word in self.status.items() if word == "running"]
        holders = [self.store.holder(run_id) or {} for run_id in ids]
        return len({(holder.get("host"), holder.get("pid")) for holder in holders})

    @property
    def left(self) -> list[RunConfig]:
        """What is still to be trained."""
        return [config for config in self.configs if self.status[config.run_id] not in FINISHED]

    def left_seconds(self) -> float:
        return seconds_left(self.parts, self.workers, self.timed)

    @property
    def parts(self) -> list[tuple[RunConfig, float]]:
        """The runs left, with the part of each still to be trained."""
        return [(config, 1 - self.fraction(config)) for config in self.left]

    def fraction(self, config: RunConfig) -> float:
        """Of the updates that are the run's own, those made: by its claim, or, where nobody has it, by
        its newest checkpoint."""
        before, status, step = config.branch_step, self.status[config.run_id], 0
        if status == "running":
            step = (self.store.holder(config.run_id) or {}).get("step", 0)
        elif status in ("stopped", "pruned", "silent"):
            step = self.store.newest_checkpoint(config.run_id)
        return min(1.0, max(0, step - before) / max(1, config.steps - before))

    def summary(self) -> str:
        count = Counter(self.status.values())
        done = sum(count[word] for word in FINISHED)
        words = ", ".join(f"{n} {word}" for word, n in count.items() if word != "done")
        left = f", about {duration(self.left_seconds())} left" if done < len(self.configs) else ""
        return f"{count['done']}/{len(self.configs)} runs done" + (f" ({words})" if words else "") + left

    def table(self) -> Any:
        """What is running now, for the terminal."""
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        heads = ("run", "layers x width", "N", "tokens", "progress", "train loss", "held-out", "tokens/s")
        table = Table(*heads, box=None)
        for config in self.configs:
            if self.status[config.run_id] != "running":
                continue
            now = self.store.holder(config.run_id) or {}
            part = now.get("step", 0) / max(1, now.get("steps", 1))
            table.add_row(*facts(config), f"{'━' * round(20 * part):<20} {part:4.0%}", *progress(now))
        return Group(Text(self.summary(), style="bold"), table)

    def results(self) -> Any:
        """What came of the grid, the smallest budgets first; of a large one the runs of the lowest loss."""
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        over = [config for config in self.configs if self.status[config.run_id] in FINISHED]
        lowest = sorted(over, key=lambda config: self.losses.get(config.run_id) or float("inf"))
        shown = sorted(lowest[:MOST_RESULTS], key=lambda c: (c.budget, counts.count_params(c.model).params))
        table = Table("run", "layers x width", "N", "tokens", "FLOPs", "held-out", "time", "status", box=None)
        for config in shown:
            loss = self.losses.get(config.run_id)
            seconds = self.records.get(config.run_id, {}).get("seconds")
            table.add_row(
                *facts(config),
                f"{counts.run_flops(config):.2g}",
                f"{loss:.4f}" if loss else "",
                duration(seconds) if seconds else "",
                self.status[config.run_id] + " (trunk)" * config.trunk,
            )
        more = f"the {MOST_RESULTS} of the lowest loss of {len(over)}" if len(over) > MOST_RESULTS else ""
        return Group(*[table, Text(more)] if over else [], Text(self.summary(), style="bold"))


def facts(config: RunConfig) -> list[str]:
    """Which run it is: its id, shape, params and tokens."""
    params = counts.count_params(config.model).params
    return [config.run_id, config.model.name, human(params), human(config.tokens)]


def progress(claim: dict[str, Any]) -> list[str]:
    """Of a run that is trained now: its losses and its speed."""
    losses = ("" if claim.get(name) is None else f"{claim[name]:.3f}" for name in ("train_loss", "loss"))
    return [*losses, human(claim.get("tokens_per_second") or 0)]


def describe_run(config: RunConfig, apart: str = "") -> str:
    """Its shape, params, tokens, FLOPs and rate, and what sets it `apart`."""
    model, rate = config.model, f"rate={config.optim.learning_rate:.2g}"
    return (
        f"{model.name:>9} N={human(counts.count_params(model).params):<6} "
        f"D={human(config.tokens):<6} C={human(counts.run_flops(config)):<6} "
        f"{rate + apart:<11}"
    )


def set_apart(configs: Sequence[RunConfig]) -> dict[str, str]:
    """By run_id the fields of model and optimiser in which runs of one layers x width differ and which no
    column shows, such as ", activation gelu"."""
    settings = {config.run_id: hidden_settings(config) for config in configs}
    values = defaultdict(set)
    for config in configs:
        for name, value in settings[config.run_id].items():
            values[config.model.name, name].add(value)
    varied = {name for (_, name), several in values.items() if len(several) > 1}
    return {
        run_id: "".join(f", {name} {value}" for name, value in each.items() if name in varied)
        for run_id, each in settings.items()
    }


def hidden_settings(config: RunConfig) -> dict[str, Any]:
    return {
        column: getattr(part, name)
        for part in (config.model, config.optim)
        for column, name in columns_of(type(part)).items()
        if part.has(name) and name not in COLUMNS
    }
