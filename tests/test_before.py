"""A store that earlier code left behind is read, exported, sampled and resumed the same.

`stores/before` was made at commit f6f22e1, before the lab's modules moved into packages: a
Transformer and an LSTM that are done, and a GPT-2-like run stopped at update 24. expected.json
says what that code then made of them, and runs.csv and curves.csv what it exported.
"""

import csv
import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

from lab.config import from_json
from lab.data import corpora
from lab.store import export
from lab.store.store import Store
from lab.trained import sample, weights
from tests.trained import finished

BEFORE = Path(__file__).parent / "stores" / "before"
EXPECTED = json.loads((BEFORE / "expected.json").read_text())
STOPPED = EXPECTED["stopped"]


@pytest.fixture
def store(tmp_path):
    shutil.copytree(BEFORE, tmp_path / "runs")
    return Store(tmp_path / "runs")


def configs(store) -> list:
    """In the order in which they were exported; the stopped one is last."""
    ids = [*EXPECTED["trained"], STOPPED["run_id"]]
    return [from_json(json.loads((store.folder(run_id) / "config.json").read_text())) for run_id in ids]


def test_its_runs_keep_their_ids_and_where_they_stand(store):
    folders = {path.parent.name for path in store.root.glob("*/config.json")}
    assert {config.run_id for config in configs(store)} == folders
    assert [store.status(config.run_id) for config in configs(store)] == ["done", "done", "stopped"]
    assert store.newest_checkpoint(STOPPED["run_id"]) == STOPPED["step"]


def test_its_table_and_curves_are_the_same(store, tmp_path):
    export.write(export.rows(store, configs(store), "before"), tmp_path / "runs.csv")
    export.write_curves(store, configs(store), tmp_path / "curves.csv")
    for name in ("runs.csv", "curves.csv"):
        before, now = (list(csv.DictReader((at / name).open())) for at in (BEFORE, tmp_path))
        kept = [{column: row.get(column) for column in before[0]} for row in now]  # new ones may come
        assert before and kept == before


@pytest.mark.parametrize("run_id", EXPECTED["trained"])
def test_its_weights_and_what_they_write_are_the_same(store, run_id):
    run, expected = weights.read(store, run_id), EXPECTED["trained"][run_id]
    assert run.sha256 == expected["sha256"]
    ids = sample.sample(run.config.model, run.params, np.array([1, 2, 3]), 24, temperature=0.8, seed=7)
    assert list(ids) == expected["sampled"]


def test_its_stopped_run_goes_on_to_the_same_end(store):
    config = configs(store)[-1]
    corpora.prepare(config.data.corpus, quiet=True)
    record = finished(store, config)
    # to the bit where it was made; other processors and versions of jaxlib agree to float error
    rel = 0 if (processor(), jax.__version__) == tuple(STOPPED["machine"]) else 1e-4
    for name in ("loss", "loss_se", "bits_per_byte"):
        assert record[name] == pytest.approx(STOPPED[name], rel=rel, abs=0), name
    names = ("step", "loss", "train_loss", "learning_rate")
    curve = [[float(point[name]) for name in names] for point in store.curve(config.run_id)]
    np.testing.assert_allclose(curve, STOPPED["curve"], rtol=rel)


def processor() -> str:
    """Its maker's name for it, family and model."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return "unknown"
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    return " / ".join(fields.get(name, "?") for name in ("model name", "cpu family", "model"))
