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
from lab.launch import local, processes
from lab.launch.order import End, LaunchError, Order, Refresh, engine, parts
from lab.store.failures import has_failed, trained_as
from lab.store.files import read_json, write_json
from lab.store.lineage import with_trunks
from lab.store.store import Store

QUEUE_SECONDS = 5.0  # between looks at the queue
MINUTES = 60  # of a job unless another time is asked for; what is not done by then goes back to the queue
OURS = ("array", "output", "error", "requeue")  # options of sbatch that the launcher sets


def launch(store: Store, configs: Sequence[RunConfig], order: Order, refresh: Refresh = lambda: None) -> End:
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
            wait(jobs, refresh)
    except KeyboardInterrupt:
        print(f"\nthe jobs go on; scancel {listed} ends them", flush=True)
        return "submitted"
    if order.fail_fast and any(has_failed(store, config) for config in configs):
        return "finished"  # the caller names what failed
    if left := sum(store.trainable(trained_as(store, config).run_id) for config in configs):
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
    runs = [[to_json(config) for config in part] for part in dealt]
    write_json(folder / "order.json", {"store": str(root), "order": asdict(order), "parts": runs})
    options = {name.replace("-", "_"): value or True for name, value in order.options.items()}
    executor = submitit.SlurmExecutor(folder)
    if order.hosts > 1:
        executor.update_parameters(nodes=order.hosts, ntasks_per_node=1, srun_args=["--kill-on-bad-exit=1"])
    executor.update_parameters(
        job_name="lab",
        time=MINUTES,
        array_parallelism=order.workers or len(dealt),
        stderr_to_stdout=True,
        additional_parameters={"requeue": True} | options,
        setup=[f"export {name}={quote(value)}" for name, value in processes.paths().items()],
    )
    files = [str(folder / "order.json")] * len(dealt)
    try:
        with redirect_stderr(StringIO()):  # submitit prints what it raises
            jobs = executor.map_array(element, files, range(len(dealt)))
    except submitit.core.utils.FailedJobError as refusal:
        shutil.rmtree(folder)
        lines = str(refusal).strip().splitlines() or ["sbatch said nothing"]
        raise LaunchError(f"Slurm refused the jobs: {lines[0]}") from refusal
    job = jobs[0].job_id.partition("_")[0]
    write_json(folder / "submitted.json", {"job": job})
    return job


def queued() -> set[tuple[str, int]]:
    """(job, element) of all that this user has in the queue, running or not."""
    command = ["squeue", "--me", "--array", "--noheader", "--format=%F %K"]
    answer = subprocess.run(command, capture_output=True, text=True)
    if answer.returncode:
        raise LaunchError(f"squeue failed: {answer.stderr.strip()}")
    lines = [line.split() for line in answer.stdout.splitlines()]
    return {(job, int(index) if index.isdigit() else 0) for job, index in lines}


def queued_runs(store: Store) -> list[tuple[str, str]]:
    """(job, run_id) of what this store's jobs have in the queue; of a run that was out of memory
    the id of its second try too."""
    elements, runs = queued(), []
    for file in store.root.glob(".slurm/*/submitted.json"):
        job = (read_json(file) or {}).get("job")
        if any(job == other for other, _ in elements):
            dealt = (read_json(file.with_name("order.json")) or {"parts": []})["parts"]
            held = [config for i, part in enumerate(dealt) if (job, i) in elements for config in part]
            for config in (from_json(config, where=str(file)) for config in held):
                runs += [(job, each.run_id) for each in {config, trained_as(store, config)}]
    return runs


def wait(jobs: set[str], refresh: Refresh) -> None:
    """Until none of the jobs is in the queue."""
    queue_read = 0.0
    while True:
        refresh()
        if time.monotonic() - queue_read > QUEUE_SECONDS:
            queue_read = time.monotonic()
            try:
                if not jobs & {job for job, _ in queued()}:
                    return
            except LaunchError as error:  # a controller that restarts answers again
                print(f"warning: {error}", flush=True)
        time.sleep(local.LOOK_SECONDS)


# --- inside a job ------------------------------------------------------------------------------


def element(file: str, index: int) -> None:
    """What submitit calls on a node."""
    request = json.loads(Path(file).read_text())
    order, store = Order(**request["order"]), Store(Path(request["store"]))
    configs = [from_json(config, where=file) for config in request["parts"][index]]
    host = int(os.environ["SLURM_PROCID"]) if order.hosts > 1 else None
    here = replace(order, workers=1, options={}, pinned=False, host=host)
    end = local.launch(store, configs, here)
    if host:
        return  # what becomes of the job is the first host's to say
    if end == "stopped":
        requeue(Path(file).with_name(f"again-{index}.json"), local.progress(store, configs))
    elif order.fail_fast and any(has_failed(store, config) for config in configs):
        subprocess.run(["scancel", this_job().partition("_")[0]])


def this_job() -> str:
    """Its name to Slurm. An element's own SLURM_JOB_ID may be the array's number, by which Slurm
    understands all elements: to queue that again would train them all again."""
    array, own = (os.environ.get(f"SLURM_ARRAY_{word}_ID") for word in ("JOB", "TASK"))
    return f"{array}_{own}" if array else os.environ["SLURM_JOB_ID"]


def requeue(kept: Path, progress: tuple[int, ...]) -> None:
    """End this job, whose run is saved: back to the queue, unless Slurm has decided otherwise or
    its runs got no further (`kept` says how far they were) in so many starts."""
    job, before = this_job(), read_json(kept) or {}
    starts = before.get("starts", 0) + 1 if before.get("far") == [*progress] else 1
    write_json(kept, {"far": progress, "starts": starts})
    if starts >= local.STARTS:
        kept.unlink()
        raise SystemExit(
            f"job {job} ends: in {starts} starts it got no run further. The log above says why; if "
            "its time was over before a first checkpoint, ask for more with --launcher-option time="
        )
    state = subprocess.run(["scontrol", "show", "job", "-o", job], capture_output=True, text=True)
    if " JobState=RUNNING " not in state.stdout:  # preempted or cancelled: queueing it is not ours
        raise SystemExit(f"job {job} ends, as Slurm decided; what it trained is saved")
    answer = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True)
    raise SystemExit(f"job {job} goes back to the queue {answer.stderr}".strip())
