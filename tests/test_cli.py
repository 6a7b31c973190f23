"""What a user sees of `python -m lab`, above all when something is wrong."""

import json

import pytest

from tests.conftest import ROOT

TINY = ROOT / "tests" / "tiny.py"
EXPERIMENT = """
from lab.config import *
def runs():
    data = DataConfig(sha256="0" * 64, corpus="nowhere", train_tokens=1000, max_epochs=1)
    return [RunConfig(model=ModelConfig(d_model=16, n_layer=1, n_head=2, vocab_size=8, seq_len=16),
                      optim=OptimConfig(learning_rate=0.1), data=data, tokens={tokens},
                      batch_tokens=128)]
"""


def test_a_plan_prices_the_grid_and_trains_nothing(lab_command, tmp_path):
    said = lab_command("plan", TINY).stdout
    assert "4 runs in 2 shapes" in said and said.count(" left") >= 4
    assert not (tmp_path / "runs").exists()


def test_status_counts_and_needs_no_jax(lab_command, tmp_path):
    (tmp_path / "jax.py").write_text("raise ImportError('jax was imported')")
    assert "0/4 runs done" in lab_command("status", TINY).stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "experiments.nothing"], "no such module"),
        (["plan", "missing.py"], "no such file"),
        (["plan", TINY, "--set", "optim.rate=1"], "no field"),
        (["plan", TINY, "--set", "model.n_head=3"], "nearest width"),
        (["run", TINY, "--store", "/proc/nowhere"], "can't be written"),
        (["export", TINY, "-o", "runs.txt"], "written as .csv or .jsonl"),
        (["data", "show", "shakespear"], "unknown"),
        (["plan", "typo.py"], "typo.py, line 4: TypeError"),
        (["data", "prepare"], "needs a name"),
        (["data", "prepare", "text:/no/such/file"], "no file"),
    ],
)
def test_bad_input_gets_one_clear_line(lab_command, tmp_path, arguments, words):
    (tmp_path / "typo.py").write_text(
        "from lab.config import OptimConfig\n\ndef runs():\n    return [OptimConfig(lr=1)]\n"
    )
    said = lab_command(*arguments, code=1).stderr
    assert words in said and len(said.strip().splitlines()) == 1


def test_wrong_usage_exits_with_two(lab_command):
    for arguments in ([], ["run"], ["train", "x"], ["run", TINY, "--workers", "many"]):
        lab_command(*arguments, code=2)


def test_more_tokens_than_the_corpus_holds_are_refused_before_anything_runs(lab_command, tmp_path):
    (tmp_path / "big.py").write_text(EXPERIMENT.format(tokens=5000))
    said = lab_command("run", "big.py", code=1).stderr
    assert "epochs of the 1,000" in said and "max_epochs" in said
    assert not list((tmp_path / "runs").glob("[0-9a-f]*"))


@pytest.mark.parametrize("own", ["SIZES = 6", "SIZES = [(1, 16, 1)]"])
def test_a_file_may_call_anything_of_its_own_sizes(lab_command, tmp_path, own):
    (tmp_path / "own.py").write_text(f"{own}\nfrom tests.tiny import runs\n")
    assert "4 runs" in lab_command("plan", "own.py").stdout


def test_a_corpus_that_is_not_there_fails_its_run_and_says_how_to_get_it(lab_command, tmp_path):
    (tmp_path / "lost.py").write_text(EXPERIMENT.format(tokens=640))
    said = lab_command("run", "lost.py", code=1).stderr
    assert "failed: " in said and "--retry failed" in said and "nowhere" in said


def test_an_export_can_be_fitted_and_bench_writes_its_keys(lab_command, tmp_path):
    lab_command("export", TINY, "-o", "runs.jsonl")
    assert (tmp_path / "runs.jsonl").read_text() == ""
    lab_command("bench", "--d-model", 16, "--layers", 1, "--heads", 2, "--batch", 2,
                "--seq-len", 16, "--json", "out.json")  # fmt: skip
    found = json.loads((tmp_path / "out.json").read_text())
    keys = "tokens_per_second ms_per_step flops_per_second compile_seconds config device".split()
    assert set(keys) == set(found) and set(found["ms_per_step"]) == {"median", "p10", "p90"}


def test_every_set_counts_and_they_are_checked_together(lab_command):
    said = lab_command("plan", TINY, "--set", "model.d_model=12", "--set", "model.n_head=3",
                       "--set", "optim.learning_rate=0.5").stdout  # fmt: skip
    assert "1 x 12" in said and " 0.5 " in said and "1 x 16" not in said


SIZED = """
from tests import tiny

SIZES = {"small": 2, "large": 4}

def runs(size):
    return tiny.runs()[: SIZES[size]]

def report(store, out, size):
    (out / "said.txt").write_text(size)
"""


def test_an_experiment_s_size_follows_its_name(lab_command, tmp_path):
    (tmp_path / "sized.py").write_text(SIZED)
    assert "2 runs in" in lab_command("plan", "sized.py").stdout
    assert "4 runs in" in lab_command("plan", "sized.py:large").stdout
    lab_command("report", "sized.py:large")
    assert (tmp_path / "out" / "sized-large" / "said.txt").read_text() == "large"
    lab_command("report", "sized.py")
    assert (tmp_path / "out" / "sized" / "said.txt").read_text() == "small"
    said = lab_command("plan", "sized.py:huge", code=1).stderr
    assert "no size 'huge'; its sizes are small, large" in said
    (tmp_path / "plain.py").write_text("from tests.tiny import runs\n")
    assert "it has one size only" in lab_command("plan", "plain.py:large", code=1).stderr
