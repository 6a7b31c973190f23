"""Where runs are trained: workers on this machine, on Slurm or on Ray, and what each does with a run."""
