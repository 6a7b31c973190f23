"""A worker that really has too little memory: the system refuses it more, under RLIMIT_AS."""

import os
import subprocess
import sys

import pytest

from lab.config import to_json
from lab.launch.task import Task
from lab.store import export
from lab.store.failures import trained_as
from lab.store.store import Store
from tests.conftest import ROOT, change, data_folder

# a worker as it is, but that once jax has started it gets so many bytes more and no others
WORKER = """
import json, re, resource, sys, threading
import jax
from lab.launch import worker
worker.set_up = lambda task: None
jax.block_until_ready(jax.numpy.ones((64, 64)) @ jax.numpy.ones((64, 64)))
now = 1024 * int(re.search(r"VmSize:\\s+(\\d+)", open("/proc/self/status").read())[1])
resource.setrlimit(resource.RLIMIT_AS, (now + int(sys.argv[1]),) * 2)
sys.exit(worker.work(worker.Task(**json.loads(sys.stdin.read())), threading.Event()))
"""
# an update of a micro-batch of all B sequences asks for 1,180 MB at once, most of it attention's
# scores, B x H x L x L; of half of them for 590 MB
L, B, H = 128, 512, 16


@pytest.fixture
def wide(config):
    """One update, of the batch at once."""
    return change(
        config,
        model__d_model=2 * H,
        model__n_head=H,
        model__seq_len=L,
        batch_tokens=B * L,
        tokens=B * L,
        micro_batch=B,
    )


def work(store, configs, room):
    task = Task(str(store.root), [to_json(config) for config in configs])
    env = os.environ | {
        "PYTHONPATH": str(ROOT),
        "LAB_DATA": data_folder(),
        "JAX_PLATFORMS": "cpu",
        "NPROC": "1",
    }
    return subprocess.run(
        [sys.executable, "-c", WORKER, str(room)],
        input=task.line(),
        env=env,
        capture_output=True,
        text=True,
        timeout=500,
    )


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="RLIMIT_AS is kept by Linux alone")
def test_a_worker_out_of_memory_trains_the_run_with_half_the_micro_batch(tmp_path, wide):
    store = Store(tmp_path)
    done = work(store, [wide], room=1_100_000_000)
    assert done.returncode == 0, done.stdout + done.stderr
    failure, again = store.failure(wide.run_id), trained_as(store, wide)
    assert failure["kind"] == "out of memory" and "RESOURCE_EXHAUSTED" in failure["error"]
    assert again.micro_batch == B // 2
    (row,) = export.rows(store, [wide])
    assert (row["status"], row["micro_batch"]) == ("done", B // 2)
    assert (row["run_id"], row["asked_for"]) == (again.run_id, wide.run_id)


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="RLIMIT_AS is kept by Linux alone")
def test_a_worker_with_too_little_memory_for_half_of_it_fails_that_run_alone(tmp_path, wide, config):
    store = Store(tmp_path)
    done = work(store, [wide, config], room=560_000_000)
    assert done.returncode == 1, done.stdout + done.stderr
    failure = store.failure(trained_as(store, wide).run_id)
    assert failure["kind"] == "out of memory" and "retried_as" not in failure
    assert store.status(config.run_id) == "done"
