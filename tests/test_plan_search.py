"""`lab plan --on`: what is put to the compiler, what is said meanwhile, and what where nothing fits."""

import contextlib
from dataclasses import asdict, astuple

import pytest

from lab.commands import on as plan_on
from lab.launch import compilers
from lab.plan import chips, estimate, search
from lab.plan.estimate import Layout
from tests.test_plan_on import run

NONE_FITS = {
    "fits": False,
    "available_bytes": chips.CHIPS["v5e"].memory,
    "compile_seconds": 1.0,
    "way": "jit",
    "micro_batch": 1,
    "remat": "nothing",
}


def compiled(config, on, times=1.0):
    """Layouts in the order in which they are compiled by a compiler that needs so many times what arithmetic
    says, and what it needs, in bytes."""
    order, tried = search.candidates(config, on), {}
    at = next(order, None)
    while at:
        tried[at] = times * estimate.device_bytes(config, at, on)
        with contextlib.suppress(StopIteration):
            at = order.send(tried[at])
            continue
        break
    return tried


@pytest.mark.parametrize("times", [0.7, 1.0, 1.3, 2.0])
@pytest.mark.parametrize(("layers", "width"), [(12, 768), (24, 2048), (32, 2560), (48, 4096), (80, 8192)])
@pytest.mark.parametrize("name", ["v5e:1x1", "v5e:2x2", "v5e:2x4", "v5p:2x2x1"])
def test_the_search_says_in_two_programs_if_a_run_fits_and_misses_none_that_does(layers, width, times, name):
    config, on = run(layers, width), chips.find(name)
    memory, tried = on.chip.memory, compiled(config, on, times)
    need = {at: times * estimate.device_bytes(config, at, on) for at in estimate.layouts(config, on)}
    first = list(tried)[:2]
    assert any(tried[at] <= memory for at in first) == any(size <= memory for size in need.values())
    assert all(search.state_bytes(config, at, on) <= memory for at in tried)
    if fitting := [at for at in need if need[at] <= memory]:
        best = min((at for at in tried if tried[at] <= memory), key=list(need).index)
        assert best == fitting[0] or times < 1 / search.TOO_HIGH
        assert not search.not_tried(config, on, tried)
    else:
        assert not tried or min(need, key=need.get) in tried


def test_of_what_is_left_out_for_time_the_faster_are_named():
    config, on = run(32, 2560, context=2048), chips.find("v5e:2x4")
    (first, size), *_ = compiled(config, on).items()
    left = search.not_tried(config, on, {first: size})
    ordered = estimate.layouts(config, on)
    assert left and all(ordered.index(at) < ordered.index(first) for at in left)
    assert all(search.state_bytes(config, at, on) <= on.chip.memory for at in left)


def test_what_does_not_fit_says_by_how_much_and_what_would_hold_it():
    config, on = run(32, 2560, context=2048), chips.find("v5e:1x1")
    assert not compiled(config, on)  # weights and moments are twice its memory: nothing is compiled
    row = plan_on.row([config], on, 1.2, {})
    over = (row["peak_bytes"] - row["available_bytes"]) / chips.GIB
    assert not row["fits"] and f"{over:.2f} GiB a device too much" in row["note"]
    assert row["fits_on"] == "v5e:2x2" and "v5e:2x2 would hold it" in row["note"]
    smaller, enough = (chips.find(name) for name in ("v5e:1x1", row["fits_on"]))
    fit = lambda at: plan_on.by_arithmetic(config, at)["fits"]  # noqa: E731
    assert fit(enough) and not fit(smaller)
    tight = plan_on.row([config], on, 1.2, {"peak_bytes": 3 * row["peak_bytes"]} | NONE_FITS)
    assert chips.find(tight["fits_on"]).chips > enough.chips  # the compiler needs thrice what arithmetic says
    alone = plan_on.row([run(80, 8192, batch=1)], on, 1.2, {})
    assert alone["fits_on"] is None and "no larger slice of v5e holds it" in alone["note"]


def test_what_was_seen_to_fit_stands_when_the_time_is_over(monkeypatch):
    """A shape's answer is said as it is known, and again when more is."""
    module = pytest.importorskip("lab.train.compiled")
    config, on, lines = run(32, 2560, context=2048), chips.find("v5e:2x4"), []

    def compile(at):
        peak = estimate.device_bytes(config, at, on)
        return {"peak": peak, "available": on.chip.memory, "own": True, "compile": 1.0}

    say = lambda **line: lines.append(line)  # noqa: E731
    best, _, tried = module.search(config, on, compile, say, seconds=600)
    assert [Layout(*list(each.values())[:3]) for each in tried] == list(compiled(config, on))
    assert [next(iter(line)) for line in lines] == ["compiling", "compiled", "answer"] * 2
    first, last = lines[2]["answer"], lines[-1]["answer"]
    assert first["fits"] and first["not_tried"] and not last["not_tried"]
    assert (last["way"], last["micro_batch"], last["remat"]) == astuple(best)
    at, _, tried = module.search(config, on, compile, say, seconds=-1)  # no time: the first that fits
    assert len(tried) == 1 and asdict(at).items() <= first.items()
    row = plan_on.row([config], on, 1.2, first | {"refused": "no time"})
    assert row["fits"] and "not tried, faster by arithmetic: fsdp" in row["note"] and row["not_tried"]


def test_progress_names_the_shape_and_the_layout_in_a_line_each(capsys):
    at = {"way": "fsdp", "micro_batch": 8, "remat": "nothing"}
    plan_on.progress(run(), {"compiling": at})
    plan_on.progress(run(), {"compiled": at | {"bytes": 3 * 2**30, "available": 2**34, "fits": True}})
    plan_on.progress(run(), {"answer": {}})
    first, second = capsys.readouterr().err.splitlines()
    assert first == "12 x 768 (110M): fsdp, micro-batch 8, nothing kept: compiling …"
    assert second.endswith("nothing kept: 3.00 of 16.00 GiB, fits")


def test_a_compiler_that_jax_does_not_ask_for_is_named(monkeypatch):
    wanted = ['libtpu==0.0.42.*; extra == "tpu"']
    monkeypatch.setattr(compilers.metadata, "requires", lambda name: wanted)
    for there, said in (("0.0.42.1", False), ("0.0.52", True)):
        monkeypatch.setattr(compilers.metadata, "version", lambda name, there=there: there)
        assert bool(compilers.misfit()) is said
