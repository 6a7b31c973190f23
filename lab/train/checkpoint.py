"""Saves and restores a TrainState with Orbax, asynchronously, whatever devices it lives on.

    checkpoints/STEP/state/       the arrays, whole and as they are: saved on eight devices, a
                                  state is restored on one
                     manifest/    the sha256 of each array, and the curve up to STEP

The manifest is written in the same commit as the arrays. It is made from memory before anything
is written and checked against memory after everything was read, so it covers every file, and what
packs and unpacks them. Checkpoints of before have arrays in `default/` and no manifest.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import numpy as np

from lab.store.files import seal_of, sealed, set_aside

KEEP = 2  # the newest, and one before it in case the newest is damaged
TRIES = 2  # at reading a checkpoint: a file system may stumble once


@dataclass(frozen=True)
class Restored:
    """Where a run goes on from. `curve` is its text up to `step`; None where none was kept."""

    step: int
    state: Any
    curve: str | None
    warnings: tuple[str, ...] = ()


class Checkpoints:
    """The checkpoints of one run, in `folder`/STEP/. Who holds the run's claim says so, `claimed`:
    nobody else writes there then, and what a killed writer left half written is deleted."""

    def __init__(self, folder: Path, claimed: bool = False):
        self.folder, self.claimed = folder.absolute(), claimed
        self.folder.mkdir(parents=True, exist_ok=True)

    @cached_property
    def manager(self) -> Any:
        """Orbax's; made, and Orbax imported, when there is something to read or write."""
        import orbax.checkpoint as ocp

        options = ocp.CheckpointManagerOptions(
            max_to_keep=KEEP,
            enable_async_checkpointing=True,
            create=False,
            cleanup_tmp_directories=self.claimed,
            multiprocessing_options=alone(),
        )
        return ocp.CheckpointManager(self.folder, options=options, item_names=("state", "manifest"))

    def save(self, step: int, state: Any, curve: str = "") -> None:
        """Starts saving and returns; the copy is taken first, so the state may be donated."""
        import orbax.checkpoint as ocp

        if step in self.manager.all_steps():
            return
        arrays = as_dict(jax.tree.map(lambda leaf: np.array(leaf, copy=True), state))
        manifest = sealed({"arrays": sums(arrays), "curve": curve, "step": step})
        self.manager.save(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(arrays), manifest=ocp.args.JsonSave(manifest)
            ),
        )

    def restore(self, like: Any) -> Restored:
        """The newest checkpoint that is whole; step 0 and `like` itself when there is none. One
        that is damaged is renamed and kept beside `folder`. Each that was refused is named in the
        warnings, with what was wrong at each try."""
        warnings: list[str] = []
        if not any(self.folder.iterdir()):
            return Restored(0, like, None)
        for step in sorted(self.manager.all_steps(), reverse=True):
            name = f"checkpoint {step} of {self.folder.parent.name}"
            found, refusals = tried(TRIES, lambda step=step: self.read(step, like))
            why = "; then: ".join(dict.fromkeys(refusals))
            if found is None:
                aside = set_aside(self.folder / str(step), self.folder.parent, f"checkpoint-{step}")
                self.manager.reload()
                warnings.append(
                    f"{name} is damaged ({why}); it was moved to {aside}, and the one before it is tried"
                )
                continue
            arrays, curve = found
            if refusals:
                warnings.append(f"{name} was refused at first ({why}); read again it was whole")
            if curve is None:
                warnings.append(f"{name} has no checksum: an older version wrote it")
            leaves = [arrays[leaf] for leaf in sorted(arrays)]
            state = jax.tree.unflatten(jax.tree.structure(like), leaves)
            return Restored(step, state, curve, tuple(warnings))
        if warnings:
            warnings.append(f"no checkpoint of {self.folder.parent.name} is whole: it is begun again")
        return Restored(0, like, None, tuple(warnings))

    def read(self, step: int, like: Any) -> tuple[dict[str, np.ndarray], str | None]:
        """The arrays of one checkpoint, checked, and its curve; raises whatever is wrong."""
        import orbax.checkpoint as ocp

        wanted = {
            name: np.empty(leaf.shape, leaf.dtype) for name, leaf in as_dict(like).items()
        }  # on the host: what is read does not depend on devices
        if (old := self.folder / str(step) / "default").exists():
            with ocp.StandardCheckpointer(multiprocessing_options=alone()) as reader:
                found = reader.restore(old, wanted)
            return {name: np.asarray(found[name]) for name in wanted}, None
        found = self.manager.restore(
            step,
            args=ocp.args.Composite(state=ocp.args.StandardRestore(wanted), manifest=ocp.args.JsonRestore()),
        )
        manifest, arrays = found["manifest"], {n: np.asarray(found["state"][n]) for n in wanted}
        if seal_of(manifest) != manifest["sha256"] or manifest["step"] != step:
            raise ValueError("its manifest does not match its checksum")
        for name, sum in sums(arrays).items():
            if manifest["arrays"][name] != sum:
                raise ValueError(f"array {name} does not match its checksum")
        return arrays, manifest["curve"]

    def wait(self) -> None:
        """Until what was saved is safely on disk; raises what the writer raised."""
        if "manager" in vars(self):
            self.manager.wait_until_finished()

    def close(self) -> None:
        if "manager" in vars(self):
            self.manager.close()


def alone() -> Any:
    """Of the hosts of a run one alone saves and restores, and waits for no other."""
    import orbax.checkpoint as ocp

    me = jax.process_index()
    return ocp.options.MultiprocessingOptions(
        primary_host=me, active_processes={me}, barrier_sync_key_prefix=f"host{me}"
    )


def tried(times: int, action: Callable[[], Any]) -> tuple[Any, list[str]]:
    """What `action` returns, or None when it raised so many times; and what it raised, in order."""
    refusals: list[str] = []
    for _ in range(times):
        try:
            return action(), refusals
        except MemoryError:
            raise
        except Exception as error:  # Orbax and TensorStore raise many kinds
            refusals.append(first_line(error))
    return None, refusals


def as_dict(state: Any) -> dict[str, Any]:
    """The leaves by position: what a checkpoint holds does not depend on a library's classes."""
    return {f"{index:04d}": leaf for index, leaf in enumerate(jax.tree.leaves(state))}


def sums(arrays: dict[str, np.ndarray]) -> dict[str, str]:
    """The sha256 of each array's type, shape and bytes: about a second a gigabyte."""
    found = {}
    for name, array in arrays.items():
        hasher = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
        hasher.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8))
        found[name] = hasher.hexdigest()
    return found


def first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
