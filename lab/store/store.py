"""A folder of runs on a shared file system, safe with many writers.

    STORE/RUN_ID/config.json      what the run is
                 claim-N.json     who works on it; the highest N holds it, N + 1 takes it over
                 curve.csv        the run so far
                 origin.json      the trunk it went on from, if any
                 checkpoints/     the state so far
                 record.json      written last, once: the run is done (or diverged) if it exists
                 failure.json     why the last try failed
                 pruned.json      that it was stopped as the loser of a sweep, at which step and why
                 damaged-*        what was found damaged and set aside

Records, claims and failures are sealed (see `files`), and a record holds the checksum of its curve.
Nothing here imports jax.
"""

import re
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.config import RunConfig, to_json
from lab.store import files
from lab.store.claims import Claim, claim_path, is_let_go, newest_claim, read_claim, take
from lab.store.files import Damaged, StoreError
from lab.store.records import AVERAGED, CURVE, SCHEMA, check_record, curve_text, origin, points

PATIENCE = 60.0  # seconds a silent claim of another host is respected, on the observer's own clock
UNFINISHED = ("left", "stopped", "pruned", "running", "damaged")  # what `run` trains


@dataclass
class Store:
    """The runs under one folder."""

    root: Path
    patience: float = PATIENCE
    seen: dict[Path, tuple[Any, float]] = field(default_factory=dict)  # foreign claims, first seen

    def __post_init__(self) -> None:
        self.root = Path(self.root)

    def __repr__(self) -> str:
        begun = f"{len(list(self.root.glob('*/config.json')))} runs begun"
        return f"Store({str(self.root)!r}: {begun if self.root.is_dir() else 'not made yet'})"

    def folder(self, run_id: str) -> Path:
        if not re.fullmatch(r"[0-9a-f]{12}", run_id):
            raise StoreError(f"{run_id!r} is no run id: 12 hex digits")
        return self.root / run_id

    def prepare(self) -> None:
        """Make the folder and try to write in it."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            probe = self.root / f".probe-{uuid.uuid4().hex}"
            probe.write_text("x" * 4096)
            probe.unlink()
        except OSError as error:
            raise StoreError(
                f"the store {self.root} can't be written: {error}. Free some space, fix its "
                "permissions, or name another folder with --store"
            ) from error

    # --- reading ---------------------------------------------------------------------------

    def record(self, run_id: str) -> dict[str, Any] | None:
        """What a finished run left, or None.

        Raises:
          Damaged: it is not what was written; nothing of it may be used.
          StoreError: it can't be read now.
        """
        path = self.folder(run_id) / "record.json"
        record = files.read_json(path)
        if record is not None:
            check_record(path, run_id, record)
        return record

    def failure(self, run_id: str) -> dict[str, Any] | None:
        """Why the last try failed, or None when it did not."""
        try:
            return files.read_json(self.folder(run_id) / "failure.json")
        except StoreError as error:  # that it failed is known, why is not
            return {"run_id": run_id, "kind": "unknown", "error": str(error)}

    def holder(self, run_id: str) -> dict[str, Any] | None:
        """The newest claim's content, whoever holds it, or None."""
        return read_claim(self.folder(run_id))

    def status(self, run_id: str) -> str:
        """done, diverged, damaged (its record: `run` trains it again), unreadable (its record, for
        now), failed, running, stopped (it can be gone on with), pruned (so, and it was the loser of a sweep)
        or left."""
        return self.status_and_record(run_id)[0]

    def status_and_record(self, run_id: str) -> tuple[str, dict[str, Any] | None]:
        """A run's status, and its record when it has one."""
        try:
            if record := self.record(run_id):
                return record["status"], record
        except Damaged:
            return "damaged", None
        except StoreError:
            return "unreadable", None
        if (holder := self.holder(run_id)) and not self.abandoned(run_id, holder):
            return "running", None
        if (self.folder(run_id) / "failure.json").exists():
            return "failed", None
        if (self.folder(run_id) / "pruned.json").exists():
            return "pruned", None
        return "stopped" if holder else "left", None

    def trainable(self, run_id: str) -> bool:
        """Whether a run may still be trained: no record that counts, and no failure."""
        return self.status(run_id) in UNFINISHED

    def abandoned(self, run_id: str, holder: dict[str, Any]) -> bool:
        """Whether a claim's holder let go, died on this host, or fell silent elsewhere."""
        if (let_go := is_let_go(holder)) is not None:
            return let_go
        key = self.folder(run_id)
        mark, now = (holder.get("nonce"), holder.get("beat")), time.monotonic()
        if key not in self.seen or self.seen[key][0] != mark:
            self.seen[key] = (mark, now)
        return now - self.seen[key][1] > self.patience

    def silent_since(self, run_id: str) -> float | None:
        """When another host's claim was last written, in seconds of the epoch, where that is longer
        ago than this store's patience by this host's clock: something to show and to decide nothing
        by, since the clocks may differ. None for a claim let go, of this host, or fresh."""
        number, holder = newest_claim(self.folder(run_id)), self.holder(run_id)
        if not holder or is_let_go(holder) is not None:
            return None
        try:
            beat = claim_path(self.folder(run_id), number).stat().st_mtime
        except OSError:
            return None
        return beat if time.time() - beat > self.patience else None

    def newest_checkpoint(self, run_id: str) -> int:
        """The step of a run's newest checkpoint; 0 when it has none."""
        names = (path.name for path in (self.folder(run_id) / "checkpoints").glob("*"))
        return max((int(name) for name in names if name.isdecimal()), default=0)

    def origin(self, run_id: str) -> str | None:
        """RUN_ID@STEP of the trunk from which the newest checkpoints come, or None where the run
        began by itself.

        Raises:
          StoreError: that can't be read.
        """
        init_from = (files.read_json(self.folder(run_id) / "origin.json") or {}).get("init_from")
        return init_from if origin(init_from) else None

    def curve(self, run_id: str, record: dict[str, Any] | None = None) -> list[dict[str, str]]:
        """The points of a run's curve, as text to the last bit; torn lines are left out.

        Raises:
          Damaged: it is not the curve that `record` was written with.
        """
        path = self.folder(run_id) / "curve.csv"
        try:
            content = path.read_bytes()
        except OSError:
            content = b""
        if record and record.get("curve_sha256", files.sha256(content)) != files.sha256(content):
            raise Damaged(
                f"{path} is damaged: it does not match the checksum in record.json. Its points are "
                "left out; delete record.json and run again to have it made anew"
            )
        return points(content.decode("utf-8", "replace"))

    # --- writing ---------------------------------------------------------------------------

    def claim(self, config: RunConfig) -> Claim | None:
        """Take the run if nobody holds it and it is not finished."""
        run_id, folder = config.run_id, self.folder(config.run_id)
        if self.finished(run_id):
            return None
        number = newest_claim(folder)
        if number >= 0 and not self.abandoned(run_id, self.holder(run_id) or {}):
            return None
        folder.mkdir(parents=True, exist_ok=True)
        claim = take(folder, number + 1)
        if claim is None:
            return None
        if self.finished(run_id) or not claim.held():  # finished, or taken, since the look
            claim.release()
            return None
        self.tidy(config, claim)
        return claim

    def finished(self, run_id: str) -> bool:
        """Whether there is a record that counts; one that can't be read now is left alone."""
        try:
            return self.record(run_id) is not None
        except Damaged:
            return False
        except StoreError:
            return True

    def tidy(self, config: RunConfig, claim: Claim) -> None:
        """What a new holder does first: older claims go, a damaged record is set aside, and
        config.json says what the run is."""
        for old in range(claim.number - 1):  # all but the one just taken over
            claim_path(claim.folder, old).unlink(missing_ok=True)
        record = claim.folder / "record.json"
        try:
            self.record(config.run_id)
        except Damaged as error:
            print(f"warning: {error}", flush=True)
            print(f"warning: kept as {files.set_aside(record, claim.folder, record.name)}", flush=True)
        (claim.folder / "pruned.json").unlink(missing_ok=True)
        path, content = claim.folder / "config.json", to_json(config)
        try:
            kept = files.read_json(path) == content
        except StoreError:
            kept = False
        if not kept:
            files.write_json(path, content)

    def write_record(self, run_id: str, record: dict[str, Any]) -> bool:
        """Finish the run. The first record written wins; False when there was one."""
        folder = self.folder(run_id)
        record = {"run_id": run_id, "schema": SCHEMA, **record}
        first = files.write_json(folder / "record.json", files.sealed(record), once=True)
        (folder / "failure.json").unlink(missing_ok=True)
        return first

    def write_failure(self, run_id: str, failure: dict[str, Any]) -> None:
        files.write_json(self.folder(run_id) / "failure.json", files.sealed(failure))

    def clear_failure(self, run_id: str) -> None:
        (self.folder(run_id) / "failure.json").unlink(missing_ok=True)

    def prune(self, run_id: str, step: int, why: str) -> None:
        """Say that a run was stopped after `step` as the loser of a sweep; who trains it on takes it back."""
        content = {"run_id": run_id, "step": step, "why": why}
        files.write_json(self.folder(run_id) / "pruned.json", files.sealed(content))

    def pruned(self, run_id: str) -> dict[str, Any] | None:
        """The `step` after which a run was stopped as a loser, and `why`; None where it was not."""
        return files.read_json(self.folder(run_id) / "pruned.json")

    def write_origin(self, run_id: str, init_from: str) -> None:
        """Say what trunk the run begins from; "" where it begins by itself."""
        path = self.folder(run_id) / "origin.json"
        if init_from:
            files.write_json(path, files.sealed({"run_id": run_id, "init_from": init_from}))
        else:
            path.unlink(missing_ok=True)

    def start_curve(
        self, run_id: str, step: int, text: str | None = None, columns: tuple[str, ...] = CURVE
    ) -> str:
        """Put the curve back to what a checkpoint at `step` had seen and return it: `text` as the
        checkpoint keeps it, or, from one that keeps none, the file cut off after `step`."""
        if text is None:
            text = curve_text([row for row in self.curve(run_id) if int(row["step"]) <= step], columns)
        files.replace_file(self.folder(run_id) / "curve.csv", text)
        return text

    def add_to_curve(self, run_id: str, row: dict[str, Any]) -> str:
        """Append a point; returns the line as written."""
        columns = [name for name in AVERAGED if name != "loss_ema" or name in row]
        line = ",".join(repr(row[name]) for name in columns) + "\n"
        with (self.folder(run_id) / "curve.csv").open("a") as file:
            file.write(line)
        return line
