"""Where a run begins: at nothing, at its own newest checkpoint, or at the end of its trunk."""

from dataclasses import replace
from typing import Any

from lab.config import RunConfig
from lab.plan import trunk
from lab.store.failures import trained_as
from lab.store.files import Damaged
from lab.store.records import curve_text
from lab.store.store import Store
from lab.train.checkpoint import Checkpoints, Start


def find_start(store: Store, config: RunConfig, own: Start, like: Any) -> Start:
    """From `own`, the run's newest checkpoint, or from its trunk's end where that is further. What
    it is, is kept in the store: a run that is resumed later, under whatever plan, knows what was
    spent on it.

    Raises:
      TrunkError: the trunk is not there to be gone on from.
      TrunkMemoryError: it ran out of memory.
    """
    if own.step >= max(1, config.branch_step):
        try:
            return replace(own, origin=store.origin(config.run_id) or "")
        except Damaged:
            return replace(own, origin=config.init_from)
    if not config.init_from:
        store.write_origin(config.run_id, "")
        return own
    start = end_of_trunk(store, config, like)
    store.write_origin(config.run_id, config.init_from)
    # a run's seconds on top of its trunk's are counted from the trunk's last point
    warnings = own.warnings + start.warnings
    return replace(start, origin=config.init_from, warnings=warnings, seconds=None)


def end_of_trunk(store: Store, config: RunConfig, like: Any) -> Start:
    """The state in which a run's trunk ended, with what belongs to the run itself: its schedule."""
    trunk.check(config)
    run_id, steps = config.trunk_id, config.branch_step
    name = f"run {config.run_id} goes on from trunk {run_id} ({steps} updates)"
    record = store.record(run_id)
    if record is None:
        raise trunk_error(store, config, name)
    if record["status"] == "diverged":
        return Start(record["steps"], like, curve_text(store.curve(run_id, record)), diverged=True)
    checkpoints = Checkpoints(store.folder(run_id) / "checkpoints")
    try:
        start = checkpoints.restore(like)
    finally:
        checkpoints.close()
    if start.step != steps:
        raise trunk.TrunkError(
            f"{name}, and the state in which that one ended is gone or damaged. Delete the folder "
            f"{store.folder(run_id)}; then `lab run` with --retry failed trains the trunk again"
        )
    return replace(start, state=replace(start.state, hyper=like.hyper))


def trunk_error(store: Store, config: RunConfig, name: str) -> Exception:
    """What became of a trunk that has no record."""
    failure = store.failure(config.trunk_id)
    if failure is None:
        return trunk.TrunkError(
            f"{name}, which was not trained and is no run of this grid; put all that grid.branched "
            "returns into runs(), then try again with --retry failed"
        )
    again = trunk.make_trunk(config, config.branch_step)
    if trained_as(store, again) != again:
        return trunk.TrunkMemoryError(f"{name}, which ran out of memory")
    return trunk.TrunkError(
        f"{name}, which failed ({failure.get('kind', 'error')}: {failure.get('error')}). Mend "
        "that; --retry failed tries both again"
    )
