"""What went wrong in a grid: told, and forgotten when it is to be tried again."""

import sys
from collections.abc import Sequence

from lab.config import RunConfig
from lab.store.failures import trained_as
from lab.store.store import UNFINISHED, Store


def forget_failures(store: Store, configs: Sequence[RunConfig]) -> None:
    """Forget the failures of a grid, those of second tries with the first."""
    for config in configs:
        run = trained_as(store, config)
        if store.status(run.run_id) == "failed":
            store.clear_failure(run.run_id)
            store.clear_failure(config.run_id)


def tell(store: Store, configs: Sequence[RunConfig]) -> int:
    """Name the runs that did not end well; 1 when any failed or was not ended."""
    code = left = 0
    for asked in configs:
        config = trained_as(store, asked)
        status, folder, said = store.status(config.run_id), store.folder(config.run_id), ""
        if config != asked:
            print(
                f"out of memory: {asked.run_id}: tried again with micro_batch="
                f"{config.micro_batch}, as run {config.run_id}",
                file=sys.stderr,
            )
        if status == "failed":
            failure = store.failure(config.run_id) or {}
            said = (
                f"{failure.get('kind', 'error')}: {failure.get('error')}\n  log in "
                f"{folder / 'failure.json'}; try again with --retry failed"
            )
        elif status in UNFINISHED and status != "damaged":
            left += 1
        elif status == "damaged":
            said = f"{folder / 'record.json'}; `lab run` sets it aside and trains the run again"
        elif status == "unreadable":
            said = f"{folder / 'record.json'} can't be read now; mend the file system, then again"
        elif status == "diverged":
            steps, rate = store.record(config.run_id)["steps"], config.optim.learning_rate
            said = f"at rate {rate:g}, after step {steps}; it stays out of fits"
        if said:
            print(f"{status}: {config.run_id}: {said}", file=sys.stderr)
            code = max(code, int(status != "diverged"))
    if left:
        print(
            f"{left} of {len(configs)} runs were not finished; the same command goes on from here",
            file=sys.stderr,
        )
    return max(code, int(left > 0))
