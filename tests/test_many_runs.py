"""A store of thousands of runs: looking at it stays quick, in processor time and without jax."""

import json
import resource

import pytest

from lab.commands import cli
from lab.config import to_json
from lab.plan import grid
from lab.store.files import sealed

RUNS = 2000


@pytest.fixture
def many(tmp_path, config, capsys):
    """Four in five done, the others with a claim of a machine that is silent."""
    experiment = tmp_path / "many.py"
    experiment.write_text(
        "import json\nfrom lab import config, grid\n"
        f"base = config.from_json(json.loads({json.dumps(json.dumps(to_json(config)))}))\n"
        f"def runs():\n    return grid.product(base, seed=range({RUNS}))\n"
    )
    record = {"schema": 2, "status": "done", "steps": 40, "loss": 1.5, "seconds": 1.0}
    claim = {"host": "elsewhere", "pid": 1, "nonce": "x", "beat": 3, "step": 20, "steps": 40}
    for i, run in enumerate(grid.product(config, seed=range(RUNS))):
        folder = tmp_path / "runs" / run.run_id
        folder.mkdir(parents=True)
        (folder / "claim-0.json").write_text(json.dumps(sealed(claim)))
        if i % 5:
            whole = sealed({"run_id": run.run_id, **record})
            (folder / "record.json").write_text(json.dumps(whole))
    return experiment, tmp_path / "runs"


def spent(action):
    """Processor seconds, which a busy machine does not change much."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    action()
    after = resource.getrusage(resource.RUSAGE_SELF)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_status_and_export_grow_with_the_runs_and_not_with_their_square(many, capsys, tmp_path):
    experiment, store = many
    options = [str(experiment), "--store", str(store)]
    assert spent(lambda: cli.main(["status", *options])) < 3.0
    assert f"{RUNS * 4 // 5}/{RUNS} runs done ({RUNS // 5} running)" in capsys.readouterr().out
    assert spent(lambda: cli.main(["export", *options, "-o", str(tmp_path / "x.csv")])) < 3.0
    assert f"{RUNS * 4 // 5} rows" in capsys.readouterr().out
