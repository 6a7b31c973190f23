"""The bench writes what it says, tells who used the machine, and survives a peer that breaks."""

import json
import os
import re
import time
from types import SimpleNamespace

import pytest

from bench import __main__ as bench
from bench import accelerator, grid, machine, page, rounds
from bench.machine import Quiet, Use
from bench.rounds import Competitor, Running, Turn
from lab.launch import processes


def asleep(**changed) -> Competitor:
    return Competitor(**({"name": "one", "kind": "memory", "task": {"bytes": 1 << 16}} | changed))


def test_a_race_has_a_turn_a_round_for_all_and_a_broken_peer_is_told():
    crew = rounds.race(
        [asleep(cores=(None, None)), asleep(name="broken", task={})], 3, 0.01, Quiet(patience=0)
    )
    one, broken = (rounds.result(running) for running in crew)
    assert len(one["turns"]) == 3 and one["rate"] > 0 and one["processes"] == 2
    assert "bytes" in broken["failed"] and "rate" not in broken
    assert all(process.poll() is not None for running in crew for process in running.processes)


def test_ratios_are_taken_round_by_round():
    def raced(*rates: float) -> Running:
        return Running(asleep(), [], [], turns=[Turn(rate, rate, 0.0) for rate in rates])

    found = rounds.ratio(raced(10, 20, 60), raced(5, 5, 20))  # the machine doubled, then tripled
    assert found == {"median": 3.0, "low": 2.0, "high": 4.0}


def test_what_others_use_is_what_is_left_after_our_own():
    cores = os.cpu_count()
    before = Use(wall=0.0, everybody=100.0, own=50.0)
    after = Use(wall=10.0, everybody=100.0 + 7.0, own=50.0 + 4.0)
    assert machine.others_share(before, after) == pytest.approx(3.0 / (10.0 * cores))
    assert machine.others_share(None, after) is None


@pytest.mark.skipif(machine.look() is None, reason="this system has no /proc")
def test_our_own_work_is_not_others():
    before = machine.look()
    end = time.process_time() + 0.2  # of the processor, however little of it we are given
    while time.process_time() < end:
        pass
    assert machine.look().own - before.own > 0.15


def test_waiting_for_quiet_ends_after_the_patience(monkeypatch):
    monkeypatch.setattr(machine, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(machine, "others_share", lambda before, after: 1.0)
    quiet = Quiet(bound=0.05, patience=0.05)
    quiet.wait()
    assert quiet.impatient()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["speed"], "'speed' is none of grid"),
        (["--shapes", "XL"], "'XL' is none of S, M, L"),
        (["--nanogpt", "nowhere"], "no model.py there"),
        (["--rounds", "0"], "at least 1"),
    ],
)
def test_what_can_not_be_measured_is_refused_in_a_line(wrong, said, capsys):
    with pytest.raises(SystemExit) as ended:
        bench.main(wrong)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err.strip().splitlines()[-1]


SLOWER = [pytest.param(part, marks=pytest.mark.long) for part in ("start", "recurrent")]


@pytest.mark.parametrize("part", ["grid", "peak", *SLOWER])
def test_a_quick_part_writes_what_it_says(part, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LAB_DATA", str(tmp_path / "data"))
    monkeypatch.setattr("bench.grid.missing", lambda python, package: "left out here")
    assert bench.main([part, "--quick", "--results", str(tmp_path)]) == 0
    found = json.loads((tmp_path / f"{part}.json").read_text())
    assert found["quick"] and found["machine"]["cores"] >= 1 and found["versions"]["jax"]
    assert set(found["others"]) >= {"bound", "waited_seconds", "others_max"}
    assert str(tmp_path / f"{part}.json") in capsys.readouterr().out
    if part == "grid":
        race = found["races"][0]
        ours, plain = race["results"]
        assert ours["name"] == "this lab" and ours["rate"] > 0
        # the same shape: their weights differ by the norms' vectors and nothing else
        assert ours["params_all"] == plain["params_all"]
        assert plain["ours_over_it"]["median"] == pytest.approx(ours["rate"] / plain["rate"])
        assert set(found["left_out"]) == {"NanoDO", "nanoGPT", "transformers"}
    if part == "recurrent":
        transformer, lstm, gru = found["races"][0]["results"]
        for one in (lstm, gru):
            assert one["flops_per_token"] == pytest.approx(transformer["flops_per_token"], rel=0.2)
            assert one["transformer_over_it"]["median"] > 0
    if part == "start":
        warm = found["parts"]["warm"]
        total = sum(seconds for name, seconds in warm.items() if name != "total")
        assert total == pytest.approx(warm["total"], rel=1e-6)


def test_results_of_a_quick_run_never_stand_beside_those_measured_in_earnest():
    assert bench.RESULTS not in (bench.QUICK, *bench.QUICK.parents)


def test_the_page_takes_its_tables_from_the_results_and_keeps_its_words(tmp_path):
    turns = [{"rate": 10.0, "per_processor_second": 5.0, "others": 0.0}]
    ours = {"name": "this lab", "rate": 30.0, "turns": turns}
    three = {"median": 3.0, "low": 2.5, "high": 3.5}
    peer = {
        "name": "plain JAX, 1 x 2",
        "rate": 10.0,
        "turns": turns,
        "ours_over_it": three,
        "ours_over_it_per_processor_second": three | {"median": 2.0},
    }
    broken = {"name": "NanoDO, 1 x 2", "failed": "no such | thing"}
    race = {
        "shape": "S",
        "dtype": "float32",
        "results": [ours, peer, broken],
        "best": grid.best([peer, broken]),
    }
    (tmp_path / "grid.json").write_text(
        json.dumps(
            {
                "date": "2026-01-01T00:00:00+00:00",
                "machine": machine.describe(),
                "versions": {},
                "others": Quiet().summary(),
                "races": [race],
                "left_out": {},
            }
        )
    )
    written = tmp_path / "page.md"
    written.write_text("before\n<!-- grid -->\nold\n<!-- end -->\n<!-- peak -->\nkept\n<!-- end -->\n")
    assert page.write(tmp_path, written) == ["peak"]
    text = written.read_text()
    assert text.startswith("before\n<!-- grid -->\n") and "old" not in text and "kept" in text
    assert "| S | float32 | 30 | 3.00 |" in text
    assert "| S | float32 | plain JAX, 1 x 2 | 10 | 3.00 × | 2.50–3.50 | 2.00 × |" in text
    assert "| NanoDO, 1 x 2 | failed: no such / thing | | | |" in text


def test_the_readme_and_the_page_state_what_was_measured():
    readme = (page.PAGE.parents[1] / "README.md").read_text()
    stated = re.search(r"([\d.]+) to ([\d.]+) × the speed of nanoGPT's best way in float32", readme)
    races = json.loads((bench.RESULTS / "grid.json").read_text())["races"]
    ratios = [r["best"]["nanoGPT"]["ours_over_it"]["median"] for r in races if r["dtype"] == "float32"]
    assert [float(x) for x in stated.groups()] == pytest.approx([min(ratios), max(ratios)], abs=0.0051)
    text = page.PAGE.read_text()
    for name, table in page.TABLES.items():
        path = bench.RESULTS / f"{name}.json"
        found = json.loads(path.read_text()) if path.exists() else {}
        assert "\n".join(table(found)) in text, f"`python -m bench --page` was not run: {name}"


def test_an_accelerators_part_says_what_failed_and_what_there_was_no_time_for(tmp_path, monkeypatch, capsys):
    def late():
        monkeypatch.setattr(accelerator, "LIMIT", -1.0)
        raise ValueError("no such kernel")

    def some(options, devices, on):
        tasks = list(every(options, devices, on))
        assert {group for group, *_ in tasks} == {"plan", "ways", "attention", "packs"}
        yield from (task for task in tasks if task[:2] == ("attention", "plain"))
        yield "packs", "broken", late
        yield "packs", "left", late

    every = accelerator.tasks
    monkeypatch.setattr(accelerator, "tasks", some)
    assert bench.main(["accelerator", "--quick", "--results", str(tmp_path)]) == 0
    found = json.loads((tmp_path / "accelerator.json").read_text())
    plain, broken = found["rows"]
    assert plain["rate"] > 0 and plain["mfu"] is None and found["on"] is None  # no chip that is known
    assert broken["failed"] == "ValueError: no such kernel"
    assert list(found["left_out"]) == ["packs: left"]
    assert "failed: ValueError" in capsys.readouterr().out
    monkeypatch.setattr(accelerator, "LIMIT", 1.0)
    if processes.on_cpu():
        assert bench.main(["accelerator", "--results", str(tmp_path)]) == 1
        assert "no accelerator here" in capsys.readouterr().err


def test_the_chips_of_this_machine_are_those_that_a_plan_names():
    def of(kind, n):
        return accelerator.slice_of([SimpleNamespace(device_kind=kind)] * n)

    assert of("NVIDIA H200", 1).name == "h200x1" and of("NVIDIA H100 80GB HBM3", 8).name == "h100x8"
    assert of("TPU v5 lite", 8).name == "v5e:2x4" and of("TPU v4", 4).name == "v4:2x2x1"
    assert of("cpu", 4) is None and of("NVIDIA H200", 3) is None
    row = {"group": "ways", "name": "one", "rate": 500.0, "mfu": 0.25, "expected": 1000.0}
    assert "the plan says 1,000: 50% of it" in accelerator.line(row | {"compile_seconds": 1.0})
