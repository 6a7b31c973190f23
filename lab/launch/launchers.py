"""Where runs are trained. A launcher is one function:

    launch(store, configs, order, refresh) -> "finished" | "stopped" | "submitted"

It brings workers (`worker.py`) to machines, each with a list of runs, and trains nothing itself.
Who trains what, and what is done, is in the store alone: launchers can be mixed and repeated.
"""

from lab.launch import local, ray, slurm

LAUNCHERS = {"local": local.launch, "slurm": slurm.launch, "ray": ray.launch}
