"""Where a run begins: at nothing, at its own newest checkpoint, or at the end of its trunk."""

from dataclasses import dataclass, replace
from typing import Any

from lab.config import RunConfig
from lab.plan import trunk
from lab.store.failures import trained_as
from lab.store.files import Damaged
from lab.store.records import CURVE, HEADER, origin
from lab.store.store import Store
from lab.train.checkpoint import Checkpoints, Restored


@dataclass(frozen=True)
class Beginning:
    """The state a run goes on from. `origin` names the trunk behind it, "" where there is none;
    `diverged`: that trunk diverged, and so has the run."""

    restored: Restored
    origin: str = ""
    diverged: bool = False

    @property
    def trunk_steps(self) -> int:
        """Updates that were made by the trunk and not by this run."""
        return (origin(self.origin) or ("", 0))[1]


def find(store: Store, config: RunConfig, own: Restored, like: Any) -> Beginning:
    """From `own`, the run's newest checkpoint, or from its trunk's end where that is further. What
    it is, is kept in the store: a run that is resumed later, under whatever plan, knows what was
    spent on it.

    Raises:
      TrunkError: the trunk is not there to be gone on from.
      TrunkMemoryError: it ran out of memory.
    """
    if own.step >= max(1, config.branch_step):
        try:
            return Beginning(own, store.origin(config.run_id) or "")
        except Damaged:
            return Beginning(own, config.init_from)
    if not config.init_from:
        store.write_origin(config.run_id, "")
        return Beginning(own)
    found = end_of_trunk(store, config, like)
    store.write_origin(config.run_id, config.init_from)
    warnings = own.warnings + found.restored.warnings
    return replace(found, restored=replace(found.restored, warnings=warnings))


def end_of_trunk(store: Store, config: RunConfig, like: Any) -> Beginning:
    """The state in which a run's trunk ended, with what belongs to the run itself: its schedule."""
    trunk.check(config)
    run_id, steps = config.trunk_id, config.branch_step
    name = f"run {config.run_id} goes on from trunk {run_id} ({steps} updates)"
    record = store.record(run_id)
    if record is None:
        raise why_not(store, config, name)
    if record["status"] == "diverged":
        rows = store.curve(run_id, record)
        text = HEADER + "".join(",".join(row[cell] for cell in CURVE) + "\n" for row in rows)
        return Beginning(Restored(record["steps"], like, text), config.init_from, diverged=True)
    checkpoints = Checkpoints(store.folder(run_id) / "checkpoints")
    try:
        found = checkpoints.restore(like)
    finally:
        checkpoints.close()
    if found.step != steps:
        raise trunk.TrunkError(
            f"{name}, and the state in which that one ended is gone or damaged. Delete the folder "
            f"{store.folder(run_id)}; then `lab run` with --retry failed trains the trunk again"
        )
    state = replace(found.state, hyper=like.hyper)
    return Beginning(replace(found, state=state), config.init_from)


def why_not(store: Store, config: RunConfig, name: str) -> Exception:
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
