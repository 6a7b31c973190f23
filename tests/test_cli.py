"""What a user sees of `python -m lab`, above all when something is wrong."""

import json
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from lab.commands import cli, experiment, run
from lab.commands.plan import spent
from lab.config import userfile
from lab.models import counts
from lab.plan import chips, grid
from lab.store.store import Store
from tests.conftest import ROOT, data_folder

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
    assert "4 runs in 2 shapes" in said and "to train: 4 runs" in said and said.count(" to train") >= 4
    assert not (tmp_path / "runs").exists()


def test_status_counts_and_needs_no_jax(lab_command, tmp_path):
    for name in ("jax", "rich"):  # a table that lives is drawn in a terminal alone
        (tmp_path / f"{name}.py").write_text(f"raise ImportError('{name} was imported')")
    assert "0/4 runs done" in lab_command("status", TINY).stdout
    said = lab_command("export", TINY, "-o", "none.csv", code=1).stderr
    assert "runs holds no finished run of these 4" in said and not (tmp_path / "none.csv").exists()


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


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", TINY, "--worker", "2"], "--worker 2; was --workers meant?"),
        (["plan", "--stroe=x", TINY], "--stroe=x; was --store meant?"),
        (["plan", TINY, "more"], "lab plan: error: unrecognized arguments: more\n"),
        (["export", TINY, "--set"], "argument --set: expected one argument"),
        (["run", TINY, "--way", "pnap"], "invalid choice: 'pnap' (choose from"),
        (["data", "lst"], "invalid choice: 'lst'"),
    ],
)
def test_wrong_usage_names_what_was_meant(arguments, words, capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main([*map(str, arguments)])
    assert words in capsys.readouterr().err


def test_options_may_stand_anywhere(said):
    found = said("verify-resume", "--devices", 1, 2, TINY, "--from-devices", 3, "abc", code=1)
    assert "'abc' names 0 of the 4 runs" in found
    assert "--devices 1 0 --from-devices 1" in said("verify-resume", TINY, "abc", "--devices", 1, 0, code=1)
    for words in (["--tokenizer", "no", "show", "x"], ["show", "--tokenizer", "no", "x"]):
        assert "tokenizer 'no' is unknown" in said("data", *words, code=1)
    table = said("plan", "--set", "seed=7", "--workers", 2, TINY, "--set", "optim.learning_rate=0.5")
    assert table.count("    7  to train") == 4 and " 0.5 " in table and "on 2 workers" in table


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


def test_bench_writes_its_keys(lab_command, tmp_path):
    lab_command(
        "bench",
        "--d-model",
        16,
        "--layers",
        1,
        "--heads",
        2,
        "--batch",
        2,
        "--seq-len",
        16,
        "--json",
        "out.json",
    )
    found = json.loads((tmp_path / "out.json").read_text())
    keys = "tokens_per_second ms_per_step flops_per_second compile_seconds config device".split()
    assert set(keys) == set(found) and set(found["ms_per_step"]) == {"median", "p10", "p90"}


def test_every_set_counts_and_they_are_checked_together(lab_command):
    said = lab_command(
        "plan",
        TINY,
        "--set",
        "model.d_model=12",
        "--set",
        "model.n_head=3",
        "--set",
        "optim.learning_rate=0.5",
    ).stdout
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


# --- in this process: what takes no training -----------------------------------------------------

OWN = """
from tests.tiny import runs

def report(store, out, configs=None):
    print("drawn at", sorted({run.optim.learning_rate for run in configs or runs()}))
"""


@pytest.fixture
def said(tmp_path, monkeypatch, capsys):
    """What a command says, in an empty folder, and how it ends."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LAB_DATA", data_folder())

    def run(*arguments, code=0):
        assert cli.main([*map(str, arguments)]) == code
        found = capsys.readouterr()
        return found.err if code else found.out

    return run


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("optim.clip=x", "--set optim.clip='x' should be a finite number"),
        ("optim.clip=NaN", "--set optim.clip=nan should be a finite number"),
        ("tokens=1.5", "--set tokens=1.5 should be a whole number"),
        ("model.tied=1", "--set model.tied=1 should be true or false"),
        ("data.corpus=5", "--set data.corpus=5 should be a text"),
        ("optim=3", "name a field of it, such as optim.optimizer"),
        ("learning_rate=1", "was optim.learning_rate meant?"),
        ("optim.learningrate=1", "was optim.learning_rate meant?"),
        ("seed", "write it as FIELD=VALUE"),
    ],
)
def test_a_wrong_setting_is_told_as_it_was_written(said, setting, words):
    found = said("plan", TINY, "--set", setting, code=1)
    assert words in found and "--set." not in found and len(found.splitlines()) == 1


def test_a_report_takes_the_settings_its_runs_took_or_says_that_it_can_not(said, tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    assert "drawn at [0.01]" in said("report", "own.py")
    assert "drawn at [0.5]" in said("report", "own.py", "--set", "optim.learning_rate=0.5")
    (tmp_path / "fixed.py").write_text(OWN.replace(", configs=None", "").replace("configs or ", ""))
    found = said("report", "fixed.py", "--set", "optim.learning_rate=0.5", code=1)
    assert "draws its grid as it is written" in found and "lab export" in found
    assert not (tmp_path / "out" / "fixed").exists()


def test_an_error_in_a_report_is_told_with_its_place(said, tmp_path):
    (tmp_path / "broken.py").write_text(OWN.replace("print(", "{}['x'] = print(") + "    {}['y']\n")
    assert "broken.py, line 6: KeyError: 'y'" in said("report", "broken.py", code=1)


def test_plan_and_status_tell_the_same_time_left_compiling_included(said):
    times = [re.search(r"about (\w+)", said(word, TINY, "--workers", 1))[1] for word in ("plan", "status")]
    assert times[0] == times[1] and int(times[0][2:-1]) >= 2 * grid.COMPILE_SECONDS + 4 * grid.RUN_SECONDS


def test_plan_and_status_end_with_the_command_that_goes_on(said):
    """Of the same grid, settings and store, as it was named."""
    for words in (("plan",), ("plan", "--set", "seed=3"), ("status", "--store", "other place")):
        last = said(words[0], TINY, *words[1:]).splitlines()[-1]
        assert last == f"Next: python -m lab run {shlex.join([str(TINY), *words[1:]])}"


def test_what_runs_took_is_told_in_hours_and_where_known_in_money_and_energy():
    """Of a chip with two devices half the device-hours are paid for."""
    assert spent({"cpu": 5400.0}) == ["    spent 1.5 device-hours on cpu"]
    (line,) = spent({"NVIDIA H100 80GB HBM3": 36000.0})
    assert "10 device-hours" in line and "$30.00 at $3 a chip-hour" in line and "at most 7 kWh" in line
    assert chips.DATE in line and "at most 0.262 kWh" in spent({"TPU v3": 7200.0})[0]
    names = (
        "TPU v5 lite",
        "TPU v5",
        "TPU v5p",
        "TPU v6 lite",
        "TPU7x",
        "NVIDIA A100-SXM4-80GB",
        "NVIDIA H200",
    )
    found = [chip.name if (chip := chips.named(name)) else "" for name in names]
    assert found == ["v5e", "v5p", "v5p", "v6e", "tpu7x", "a100", "h200"] and chips.named("cpu") is None


def test_the_time_left_counts_shapes_nobody_compiled_and_is_no_less_than_the_longest_run(config):
    long = replace(config, tokens=1000 * config.tokens)
    rate, own = [(config, 10.0)], grid.RUN_SECONDS
    assert grid.seconds_left([(config, 1.0)], 1) > grid.COMPILE_SECONDS
    assert grid.seconds_left([(config, 0.5)], 1, rate) == pytest.approx(5 + own)
    longest = 10 * (long.tokens + grid.SCORED) / (config.tokens + grid.SCORED)
    assert grid.seconds_left([(config, 1.0), (long, 1.0)], 2, rate) == pytest.approx(longest)
    wider = replace(config, model=replace(config.model, d_model=32))
    training = 10.0 * grid.estimate_seconds(wider, {}) / grid.estimate_seconds(config, {})
    assert grid.seconds_left([(wider, 1.0)], 1, rate) == pytest.approx(training + grid.COMPILE_SECONDS + own)
    flops = counts.run_flops(wider) / counts.run_flops(config)
    assert 1 < training / 10 < flops, "the larger of two small models makes more FLOPs a second"
    assert grid.seconds_left([], 2) == 0


def test_a_plan_shows_budgets_only_where_runs_have_them(said, tmp_path):
    assert "budget" in said("plan", TINY)
    (tmp_path / "plain.py").write_text(EXPERIMENT.format(tokens=640))
    assert "budget" not in said("plan", "plain.py") and "FLOPs" in said("plan", "plain.py")


@pytest.mark.parametrize("command", ["plan", "status", "run", "export", "report"])
def test_a_store_that_is_a_file_is_refused(said, tmp_path, command):
    (tmp_path / "afile").write_text("x")
    assert "afile is a file; name a folder" in said(command, TINY, "--store", "afile", code=1)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["compress", "abc", "nofile"], "nofile: no such file"),
        (["compress", "abc", "."], "a folder"),
        (["compress", "abc", "empty"], "nothing to pack"),
        (["decompress", "nofile.lab"], "nofile.lab: no such file"),
        (["sample", "abc", "--prompt", ""], "the prompt is empty"),
        (["sample", "abc", "--prompt", "x"], "the store runs holds no runs"),
        (["plan", "."], "no such module"),
        (["export", TINY, "-o", "/proc/x/y.csv"], "/proc/x: no such file or directory"),
    ],
)
def test_a_slip_is_told_in_words_before_any_work(said, tmp_path, arguments, words):
    (tmp_path / "empty").touch()
    found = said(*arguments, code=1)
    assert words in found and "Errno" not in found and len(found.splitlines()) == 1


def test_an_experiment_of_nearly_this_name_is_offered(said, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert "was experiments.quickstart meant?" in said("plan", "experiments.quickstrat", code=1)


def test_without_jax_what_needs_it_says_what_to_install(said, monkeypatch):
    monkeypatch.setattr("lab.launch.local.find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "jax", None)  # as if it were not installed
    for command in (["run", TINY], ["bench"]):
        found = said(*command, code=1).splitlines()[-1]
        assert found == "lab: there is no jax here: pip install 'scaling-law-lab[lab]', or [cuda] or [tpu]"


def test_the_commit_is_this_code_s_and_no_repository_s_around_it(tmp_path, monkeypatch):
    def git(*words):
        name = ["-c", "user.name=x", "-c", "user.email=x@x"]
        subprocess.run(["git", *name, *words], cwd=tmp_path, check=True, capture_output=True)

    file = tmp_path / "run.py"
    file.write_text("")
    (tmp_path / "other").touch()
    monkeypatch.setattr(run, "__file__", str(file))
    git("init")
    git("add", "other")
    git("commit", "-m", "x")
    assert run.commit() == ""
    git("add", "run.py")
    git("commit", "-m", "y")
    assert re.fullmatch("[0-9a-f]{40}", run.commit())
    (tmp_path / "other").write_text("changed")
    assert run.commit().endswith("+")


def test_a_store_shows_what_it_is(tmp_path):
    assert repr(Store(tmp_path / "x")) == f"Store('{tmp_path / 'x'}': not made yet)"
    (tmp_path / "abc").mkdir()
    Path(tmp_path / "abc" / "config.json").touch()
    assert str(Store(tmp_path)) == f"Store('{tmp_path}': 1 runs begun)"


def test_a_file_of_a_package_is_the_module_of_that_package(monkeypatch):
    """Its folder on the path would hide what is installed: experiments/compression.py another compression."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(userfile, "FOLDERS", [])
    assert experiment.load(str(ROOT / "experiments" / "plain.py")).module.__name__ == "experiments.plain"
    assert str(ROOT / "experiments") not in sys.path


def test_a_file_may_hold_dataclasses_and_one_that_fails_leaves_no_module(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(userfile, "FOLDERS", [])
    text = (
        "from __future__ import annotations\nfrom dataclasses import dataclass\n\n@dataclass\nclass Mine:\n"
    )
    for name, before in (("kept_here", None), ("json", json)):  # which is another's name
        path = tmp_path / f"{name}.py"
        path.write_text(text + "    n: int = 1\n\ndef runs():\n    return [Mine()]\n")
        module = experiment.load(str(path)).module
        assert module.runs()[0].n == 1 and sys.modules[name] is (before or module)
    del sys.modules["kept_here"]
    (tmp_path / "torn.py").write_text("1 / 0\n")
    with pytest.raises(experiment.CommandError, match="ZeroDivisionError"):
        experiment.load(str(tmp_path / "torn.py"))
    assert "torn" not in sys.modules
