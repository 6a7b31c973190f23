"""Trunks and branches in a store: who waits for whom, and from what is there a grid can go on."""

from collections.abc import Iterable, Sequence

from lab.config import RunConfig, from_json
from lab.plan import trunk
from lab.plan.trunk import constant_steps, join_trunk, make_trunk
from lab.store.failures import trained_as
from lab.store.files import StoreError, read_json
from lab.store.store import Store

ENDED = ("done", "diverged")


def waits(store: Store, config: RunConfig, in_hand: Iterable[str]) -> bool:
    """Whether a run's trunk is still to be trained: by whoever has it in hand, or by a worker
    that is at it. One that failed or is nowhere is not waited for: the run then says so."""
    if not config.init_from or store.newest_checkpoint(config.run_id) >= config.branch_step:
        return False
    return config.trunk_id in in_hand or store.status(config.trunk_id) == "running"


def resolve_trunks(store: Store, configs: Sequence[RunConfig]) -> list[RunConfig]:
    """A grid as it is to be trained in this store: trunks go on from the furthest finished one,
    those that no unfinished run needs are left out, and a run whose trunk is finished but has lost
    its last state goes on from an earlier one, or is trained alone.

    Raises:
      ValueError: a run names a trunk that is not its own, or one that nobody trains.
    """
    if not any(config.init_from or config.trunk for config in configs):
        return list(configs)
    for config in configs:
        trunk.check(config)
    now = {config.run_id: trained_as(store, config) for config in configs}
    status = {run_id: store.status(run.run_id) for run_id, run in now.items()}
    ended = {run_id for run_id, word in status.items() if word in ENDED}
    done = [(run_id, run) for run_id, run in now.items() if status[run_id] == "done"]
    lost = {run_id for run_id, run in done if store.newest_checkpoint(run.run_id) != run.steps}
    ends = finished_trunks(store, configs)
    resolved = [config if config.run_id in ended else furthest(config, ends, lost) for config in configs]
    by_id, needed = {config.run_id: config for config in resolved}, set()
    for config in resolved:
        if config.run_id in ended:
            continue
        check_trained(config, by_id, ends)
        if config.trunk:
            continue
        while (config := by_id.get(config.trunk_id)) and config.run_id not in ended:
            needed.add(config.run_id)
    return [config for config in resolved if not config.trunk or config.run_id in needed | ended]


def check_trained(config: RunConfig, by_id: dict[str, RunConfig], ends: dict[str, set[int]]) -> None:
    finished = ends.get(make_trunk(config, 1).run_id, ())
    if config.init_from and config.trunk_id not in by_id and config.branch_step not in finished:
        raise ValueError(
            f"run {config.run_id} goes on from trunk {config.init_from}, which is neither finished "
            "nor a run of this grid: return all that grid.branched gives from runs()"
        )


def furthest(config: RunConfig, ends: dict[str, set[int]], lost: set[str]) -> RunConfig:
    """The run from the best beginning there is or will be. Of `lost` trunks the last state is gone; one
    whose second try is done is gone on from by the run's own second try."""
    if not (config.init_from or config.trunk):
        return config
    most = constant_steps(config) - (constant_steps(config) == config.steps)
    finished = [steps for steps in ends.get(make_trunk(config, 1).run_id, ()) if steps <= most]
    planned = 0 if config.trunk_id in lost else config.branch_step
    return join_trunk(config, max(planned, *finished, 0))


def finished_trunks(store: Store, configs: Iterable[RunConfig]) -> dict[str, set[int]]:
    """The ends of finished trunks whose last state is there, by what they are trunks of."""
    ends: dict[str, set[int]] = {make_trunk(c, 1).run_id: set() for c in configs if c.init_from or c.trunk}
    for path in sorted(store.root.glob("*/config.json")):
        try:
            config = from_json(read_json(path) or {}, where=str(path))
        except (StoreError, ValueError):  # not this command's to report
            continue
        if constant_steps(config) < config.steps or path.parent.name != config.run_id:
            continue
        key = make_trunk(config, 1).run_id
        if key in ends and config.run_id == make_trunk(config, config.steps).run_id:
            run_id, end = config.run_id, config.steps
            if store.newest_checkpoint(run_id) == end and store.status(run_id) == "done":
                ends[key].add(end)
    return ends


def with_trunks(configs: Sequence[RunConfig], among: Iterable[RunConfig]) -> list[RunConfig]:
    """Runs, and the trunks they wait for: a worker that has both waits for nobody for ever."""
    by_id, chosen = {config.run_id: config for config in among}, dict.fromkeys(configs)
    for config in configs:
        while (config := by_id.get(config.trunk_id)) is not None:
            chosen[config] = None
    return list(chosen)
