"""Slurm, by submitit: a job array, one element a part of the grid.

An element starts the worker that `local` starts. Warned (preempted, near its time limit, or by
`scancel --signal`) it saves its run and asks Slurm to queue it again, unless Slurm does so itself
or the job was cancelled. STORE/.slurm/STAMP/ keeps what was asked for (order.json), the batch file
(JOB_submission.sh), the jobs' logs, and submitit's pickles: these pass from here to its own jobs
alone, in a folder that only its owner may open.
"""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from contextlib import redirect_stderr
from dataclasses import asdict, replace
from io import StringIO
from pathlib import Path
from shlex import quote

from lab.config import RunConfig, from_json, to_json
from lab.launch import local
from lab.launch.attempt import unfinished
from lab.launch.order import End, LaunchError, Look, Order, engine, parts
from lab.store.failures import has_failed, trained_as
from lab.store.files import read_json, write_json
from lab.store.lineage import with_trunks
from lab.store.store import Store

ASK_SECONDS = 5.0  # between looks at the queue
MINUTES = 60  # of a job unless told; what is not done by then goes back to the queue
OURS = ("array", "output", "error", "requeue")  # options of sbatch that the launcher sets


def launch(store: Store, configs: Sequence[RunConfig], order: Order, look: Look = lambda: None) -> End:
    """Submit the runs that no queued job has; with `order.wait`, stay until the jobs are over."""
    if not shutil.which("sbatch"):
        raise LaunchError("there is no sbatch here: run this on a machine that submits to Slurm")
    wanted = {trained_as(store, config).run_id: config for config in configs}
    held = {run_id: job for job, run_id in queued_runs(store) if run_id in wanted}
    if held:
        print(f"{len(held)} of these runs are with job {', '.join(sorted(set(held.values())))}")
    jobs = set(held.values())
    if todo := [config for run_id, config in wanted.items() if run_id not in held]:
        # a trunk that another job has in hand is this one's too: whoever comes first trains it
        dealt = parts(with_trunks(todo, wanted.values()), order.workers)
        jobs.add(job := submit(store, dealt, order))
        print(f"submitted job {job}: {len(todo)} runs in {len(dealt)} elements")
    listed = ",".join(sorted(jobs))
    print(f"squeue -j {listed} shows the jobs; scancel {listed} ends them, with their runs saved")
    if not order.wait:
        return "submitted"
    try:
        with local.interruptible():
            wait(jobs, look)
    except KeyboardInterrupt:
        print(f"\nthe jobs go on; scancel {listed} ends them", flush=True)
        return "submitted"
    if order.fail_fast and any(has_failed(store, config) for config in configs):
        return "finished"  # and what failed is told by whoever asked
    if left := sum(unfinished(store, trained_as(store, c).run_id) for c in configs):
        raise LaunchError(
            f"job {listed} is over and {left} of its runs are not; its logs are in "
            f"{store.root / '.slurm'}. The same command goes on from here"
        )
    return "finished"


def submit(store: Store, dealt: Sequence[Sequence[RunConfig]], order: Order) -> str:
    """An array of jobs, one for each part; returns its number."""
    submitit = engine("submitit")
    for name in OURS:
        if name in order.options:
            raise LaunchError(f"--launcher-option {name} is set by the launcher itself")
    root = store.root.resolve()
    folder = root / ".slurm" / time.strftime(f"%Y%m%dT%H%M%S-{os.getpid()}")
    folder.mkdir(parents=True)
    folder.chmod(0o700)
    told = {"store": str(root), "order": asdict(order)}
    write_json(folder / "order.json", told | {"parts": [[to_json(c) for c in p] for p in dealt]})
    options = {name.replace("-", "_"): value or True for name, value in order.options.items()}
    executor = submitit.SlurmExecutor(folder)
    if order.hosts > 1:
        many = {"nodes": order.hosts, "ntasks_per_node": 1, "srun_args": ["--kill-on-bad-exit=1"]}
        executor.update_parameters(**many)
    executor.update_parameters(
        job_name="lab",
        time=MINUTES,
        array_parallelism=order.workers or len(dealt),
        stderr_to_stdout=True,
        additional_parameters={"requeue": True} | options,
        setup=[f"export {name}={quote(value)}" for name, value in local.surroundings().items()],
    )
    files = [str(folder / "order.json")] * len(dealt)
    try:
        with redirect_stderr(StringIO()):  # submitit prints what it raises
            jobs = executor.map_array(element, files, range(len(dealt)))
    except submitit.core.utils.FailedJobError as refusal:
        shutil.rmtree(folder)
        said = str(refusal).strip().splitlines() or ["sbatch said nothing"]
        raise LaunchError(f"Slurm refused the jobs: {said[0]}") from refusal
    job = jobs[0].job_id.partition("_")[0]
    write_json(folder / "submitted.json", {"job": job})
    return job


def queued() -> set[tuple[str, int]]:
    """(job, element) of all that this user has in the queue, running or not."""
    ask = ["squeue", "--me", "--array", "--noheader", "--format=%F %K"]
    done = subprocess.run(ask, capture_output=True, text=True)
    if done.returncode:
        raise LaunchError(f"squeue failed: {done.stderr.strip()}")
    lines = [line.split() for line in done.stdout.splitlines()]
    return {(job, int(index) if index.isdigit() else 0) for job, index in lines}


def queued_runs(store: Store) -> list[tuple[str, str]]:
    """(job, run_id) of what this store's jobs have in the queue; of a run that was out of memory
    the id of its second try too."""
    now, found = queued(), []
    for file in store.root.glob(".slurm/*/submitted.json"):
        job = (read_json(file) or {}).get("job")
        if any(job == other for other, _ in now):
            dealt = (read_json(file.with_name("order.json")) or {"parts": []})["parts"]
            held = [config for i, part in enumerate(dealt) if (job, i) in now for config in part]
            asked = [from_json(config, where=str(file)) for config in held]
            found += [(job, c.run_id) for one in asked for c in {one, trained_as(store, one)}]
    return found


def wait(jobs: set[str], look: Look) -> None:
    """Until none of the jobs is in the queue."""
    asked = 0.0
    while True:
        look()
        if time.monotonic() - asked > ASK_SECONDS:
            asked = time.monotonic()
            try:
                if not jobs & {job for job, _ in queued()}:
                    return
            except LaunchError as error:  # a controller that restarts answers again
                print(f"warning: {error}", flush=True)
        time.sleep(local.LOOK_SECONDS)


# --- inside a job ------------------------------------------------------------------------------


def element(file: str, index: int) -> None:
    """What submitit calls on a node."""
    told = json.loads(Path(file).read_text())
    order, store = Order(**told["order"]), Store(Path(told["store"]))
    configs = [from_json(config, where=file) for config in told["parts"][index]]
    host = int(os.environ["SLURM_PROCID"]) if order.hosts > 1 else None
    here = replace(order, workers=1, options={}, pinned=False, host=host)
    end = local.launch(store, configs, here)
    if host:
        return  # what becomes of the job is the first host's to say
    if end == "stopped":
        again(Path(file).with_name(f"again-{index}.json"), local.progress(store, configs))
    elif order.fail_fast and any(has_failed(store, config) for config in configs):
        subprocess.run(["scancel", this_job().partition("_")[0]])


def this_job() -> str:
    """Its name to Slurm. An element's own SLURM_JOB_ID may be the array's number, by which Slurm
    understands all elements: to queue that again would train them all again."""
    array, own = (os.environ.get(f"SLURM_ARRAY_{word}_ID") for word in ("JOB", "TASK"))
    return f"{array}_{own}" if array else os.environ["SLURM_JOB_ID"]


def again(kept: Path, far: tuple[int, ...]) -> None:
    """End this job, whose run is saved: back to the queue, unless Slurm has decided otherwise or
    its runs got no further (`kept` says how far they were) in so many starts."""
    job, before = this_job(), read_json(kept) or {}
    starts = before.get("starts", 0) + 1 if before.get("far") == [*far] else 1
    write_json(kept, {"far": far, "starts": starts})
    if starts >= local.STARTS:
        kept.unlink()
        raise SystemExit(
            f"job {job} ends: in {starts} starts it got no run further. The log above says why; if "
            "its time was over before a first checkpoint, ask for more with --launcher-option time="
        )
    shown = subprocess.run(["scontrol", "show", "job", "-o", job], capture_output=True, text=True)
    if " JobState=RUNNING " not in shown.stdout:  # preempted or cancelled: queueing it is not ours
        raise SystemExit(f"job {job} ends, as Slurm decided; what it trained is saved")
    asked = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True)
    raise SystemExit(f"job {job} goes back to the queue {asked.stderr}".strip())
