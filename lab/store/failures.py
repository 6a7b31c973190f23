"""What kind of failure an error is, and what is done about it.

    out of memory   tried once more with half the micro-batch, as a run of its own (below)
    disk full       no run's fault: the grid stops, and the same command goes on from there
    bad node        the device or its driver: the worker ends, so that it takes no other run down
    lost host       another host of a run is gone: all its hosts start again
    trunk           what it goes on from failed or is gone: the run is failed, the grid goes on
    corpus, import, died, error    the run is failed and the grid goes on

The micro-batch decides a run's rounding, so it is part of its id: the second try is another run.
`failure.json` of the run asked for names it, and wherever a grid is read `trained_as` puts it in
the place of the run asked for. The table shows both ids.
"""

import errno
import time
import traceback
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from lab.config import RunConfig
from lab.data.corpora import CorpusError
from lab.plan.trunk import TrunkError, rejoin_trunk
from lab.store.claims import this_host
from lab.store.store import Store

FULL = ("No space left on device", "Disk quota exceeded")
NODE = ("INTERNAL", "UNAVAILABLE", "ABORTED", "DATA_LOSS", "Unable to initialize backend")
PEER = ("Gloo ", "NCCL", "Connection closed by peer", "Connection reset by peer")
LOG_CHARACTERS = 4000  # of the log's end that failure.json keeps


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what it came from."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def kind_of(error: BaseException) -> str:
    """One of the kinds above. A full disk reaches us as many types, some of which say
    RESOURCE_EXHAUSTED as a full memory does, so it is looked for first."""
    errors = list(causes(error))
    message = " ".join(str(each) for each in errors)
    numbers = [each.errno for each in errors if isinstance(each, OSError)]
    if {errno.ENOSPC, errno.EDQUOT} & {*numbers} or any(words in message for words in FULL):
        return "disk full"
    if "RESOURCE_EXHAUSTED" in message or any(isinstance(each, MemoryError) for each in errors):
        return "out of memory"
    if isinstance(error, CorpusError):
        return "corpus"
    if isinstance(error, TrunkError):
        return "trunk"
    if isinstance(error, ImportError):
        return "import"
    if type(error).__name__ in ("JaxRuntimeError", "XlaRuntimeError"):
        if any(words in message for words in PEER):
            return "lost host"
        if message.startswith(NODE):
            return "bad node"
    return "error"


def failure_of(config: RunConfig, error: BaseException, again: RunConfig | None) -> dict[str, Any]:
    """What failure.json holds; called where the error is being handled."""
    failure = {
        "run_id": config.run_id,
        "kind": kind_of(error),
        "error": f"{type(error).__name__}: {error}"[:LOG_CHARACTERS],
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "host": this_host().partition("/")[0],
        "log": traceback.format_exc()[-LOG_CHARACTERS:],
    }
    if again:
        failure["retried_as"] = {"run_id": again.run_id, "micro_batch": again.micro_batch}
    return failure


def halve(config: RunConfig, now: int, devices: int = 1) -> RunConfig | None:
    """The run with at most half of its micro-batch `now`, or None when it can't be made smaller."""
    sizes = (size for size in range(now // 2, 0, -1) if config.batch_size % size == 0 and size % devices == 0)
    size = next(sizes, None)
    return rejoin_trunk(replace(config, micro_batch=size)) if size else None


def trained_as(store: Store, config: RunConfig) -> RunConfig:
    """The run that stands in a grid for the one asked for: itself, or its second try."""
    if not (store.folder(config.run_id) / "failure.json").exists():
        return config
    retry = (store.failure(config.run_id) or {}).get("retried_as")
    if not isinstance(retry, dict) or type(retry.get("micro_batch")) is not int:
        return config
    try:
        second = rejoin_trunk(replace(config, micro_batch=retry["micro_batch"]))
    except ValueError:
        return config
    return second if second.run_id == retry.get("run_id") else config


def has_failed(store: Store, config: RunConfig) -> bool:
    """Whether the run that stands for the one asked for failed; a first try alone does not."""
    return store.failure(trained_as(store, config).run_id) is not None
