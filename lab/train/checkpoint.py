"""Saves and restores a TrainState with Orbax, asynchronously, whatever devices it lives on.

    checkpoints/STEP/state/       the arrays, whole and as they are: saved on eight devices, a
                                  state is restored on one
                     manifest/    the sha256 of each array, its name, the curve up to STEP,
                                  and the seconds spent

The manifest is written in the same commit as the arrays. It is made from memory before anything
is written and checked against memory after everything was read, so it covers every file, and what
packs and unpacks them. Checkpoints of before have arrays in `default/` and no manifest.
"""

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import numpy as np

from lab.store.files import seal_of, sealed, set_aside
from lab.store.records import origin

KEEP = 2  # the newest, and one before it in case the newest is damaged
TRIES = 2  # at reading a checkpoint: a file system may stumble once


@dataclass(frozen=True)
class Start:
    """Where a run goes on from: a checkpoint, its own or its trunk's, or nothing."""

    step: int
    state: Any
    curve: str | None = None  # its text up to `step`; None where none was kept
    seconds: float | None = None  # spent up to `step`; None: as its curve says
    warnings: tuple[str, ...] = ()
    origin: str = ""  # RUN_ID@STEP of the trunk behind it
    diverged: bool = False  # the trunk diverged, and so has the run

    @property
    def trunk_steps(self) -> int:
        """Updates that were made by the trunk and not by this run."""
        return (origin(self.origin) or ("", 0))[1]


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
            multiprocessing_options=this_process(),
        )
        return ocp.CheckpointManager(self.folder, options=options, item_names=("state", "manifest"))

    def save(self, step: int, state: Any, curve: str = "", seconds: float | None = None) -> None:
        """Starts saving and returns; the copy is taken first, so the state may be donated."""
        import orbax.checkpoint as ocp

        if step in self.manager.all_steps():
            return
        arrays = as_dict(jax.tree.map(copy_of, state))
        about = {"arrays": checksums(arrays), "names": names(state), "curve": curve, "step": step}
        manifest = sealed(about | {"seconds": seconds})
        self.manager.save(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(arrays), manifest=ocp.args.JsonSave(manifest)
            ),
        )

    def restore(self, like: Any) -> Start:
        """The newest checkpoint that is whole; step 0 and `like` itself when there is none. One
        that is damaged is renamed and kept beside `folder`. Each that was refused is named in the
        warnings, with what was wrong at each try."""
        warnings: list[str] = []
        if not any(self.folder.iterdir()):
            return Start(0, like)
        for step in sorted(self.manager.all_steps(), reverse=True):
            name = f"checkpoint {step} of {self.folder.parent.name}"
            start, refusals = self.try_to_read(step, like)
            why = "; then: ".join(dict.fromkeys(refusals))
            if not start:
                aside = set_aside(self.folder / str(step), self.folder.parent, f"checkpoint-{step}")
                self.manager.reload()
                warnings.append(
                    f"{name} is damaged ({why}); it was moved to {aside}, and the one before it is tried"
                )
                continue
            if refusals:
                warnings.append(f"{name} was refused at first ({why}); read again it was whole")
            if start.curve is None:
                warnings.append(f"{name} has no checksum: an older version wrote it")
            return replace(start, warnings=tuple(warnings))
        if warnings:
            warnings.append(f"no checkpoint of {self.folder.parent.name} is whole: it is begun again")
        return Start(0, like, warnings=tuple(warnings))

    def try_to_read(self, step: int, like: Any) -> tuple[Start | None, list[str]]:
        """One checkpoint, or None where it is refused at each try; and what was wrong."""
        refusals: list[str] = []
        for _ in range(TRIES):
            try:
                return self.read(step, like), refusals
            except MemoryError:
                raise
            except Exception as error:  # Orbax and TensorStore raise many kinds
                refusals.append(first_line(error))
        return None, refusals

    def read(self, step: int, like: Any) -> Start:
        """One checkpoint, checked; raises whatever is wrong."""
        import orbax.checkpoint as ocp

        # on the host: what is read does not depend on devices
        wanted = as_dict(jax.tree.map(lambda leaf: np.empty(leaf.shape, leaf.dtype), like))
        if (old := self.folder / str(step) / "default").exists():
            with ocp.StandardCheckpointer(multiprocessing_options=this_process()) as reader:
                arrays, curve, seconds = reader.restore(old, wanted), None, None
        else:
            items = {"state": ocp.args.StandardRestore(wanted), "manifest": ocp.args.JsonRestore()}
            saved = self.manager.restore(step, args=ocp.args.Composite(**items))
            arrays, manifest = saved["state"], saved["manifest"]
            if seal_of(manifest) != manifest["sha256"] or manifest["step"] != step:
                raise ValueError("its manifest does not match its checksum")
            for name, sum in checksums({name: np.asarray(arrays[name]) for name in wanted}).items():
                if manifest["arrays"][name] != sum:
                    raise ValueError(f"array {name} does not match its checksum")
            curve, seconds = manifest["curve"], manifest.get("seconds")
        leaves = [np.asarray(arrays[name]) for name in wanted]
        return Start(step, jax.tree.unflatten(jax.tree.structure(like), leaves), curve, seconds)

    def wait(self) -> None:
        """Until what was saved is safely on disk; raises what the writer raised."""
        if "manager" in vars(self):
            self.manager.wait_until_finished()

    def close(self) -> None:
        if "manager" in vars(self):
            self.manager.close()


def this_process() -> Any:
    """Of the hosts of a run one alone saves and restores, and waits for no other."""
    import orbax.checkpoint as ocp

    me = jax.process_index()
    return ocp.options.MultiprocessingOptions(
        primary_host=me, active_processes={me}, barrier_sync_key_prefix=f"host{me}"
    )


def as_dict(state: Any) -> dict[str, Any]:
    """The leaves by position: what a checkpoint holds does not depend on a library's classes."""
    return {f"{index:04d}": leaf for index, leaf in enumerate(jax.tree.leaves(state))}


def names(state: Any) -> dict[str, str]:
    """Where in the state each leaf lies, such as params/embed: for who reads it without this code."""
    paths = (path for path, _ in jax.tree_util.tree_leaves_with_path(state))
    return {
        f"{i:04d}": jax.tree_util.keystr(path, simple=True, separator="/") for i, path in enumerate(paths)
    }


def checksums(arrays: dict[str, np.ndarray]) -> dict[str, str]:
    """The sha256 of each array's type, shape and bytes: about a second a gigabyte."""
    hexes = {}
    for name, array in arrays.items():
        hasher = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
        hasher.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8))
        hexes[name] = hasher.hexdigest()
    return hexes


def copy_of(leaf: Any) -> np.ndarray:
    """In this host's memory, and its own: what was fetched is such a copy already."""
    return leaf if isinstance(leaf, np.ndarray) else np.array(leaf, copy=True)


def first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
