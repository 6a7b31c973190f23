"""`lab plan --on`: chips by name, layouts by arithmetic, the compiler's numbers extended, and its answers."""

import ast
import json
import os
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.commands import on as plan_on
from lab.config import DataConfig, ModelConfig, OptimConfig, RunConfig
from lab.launch import compilers, processes
from lab.models import counts
from lab.plan import chips, estimate
from lab.plan.estimate import Layout, Nonsense, Probe

has_compiler = pytest.mark.skipif(not find_spec("libtpu"), reason="libtpu is not installed")

FILE = """
from lab.config import DataConfig, ModelConfig, OptimConfig, RunConfig


def runs():
    print("this experiment talks")
    model = dict(vocab_size={vocab}, seq_len={context}, dtype="bfloat16")
    return [
        RunConfig(
            model=ModelConfig(n_layer=layers, d_model=width, n_head=heads, **model),
            optim=OptimConfig(learning_rate=0.01),
            data=DataConfig(corpus="none", sha256="0" * 64),
            tokens=100 * {batch} * {context},
            batch_tokens={batch} * {context},
        )
        for layers, width, heads in {shapes}
    ]
"""


def run(layers=12, width=768, vocab=32_000, context=1024, batch=64, **fields) -> RunConfig:
    model = ModelConfig(
        n_layer=layers, d_model=width, n_head=width // 64, vocab_size=vocab, seq_len=context, dtype="bfloat16"
    )
    return RunConfig(
        model=model,
        optim=OptimConfig(learning_rate=0.01),
        data=DataConfig(corpus="none", sha256="0" * 64),
        tokens=100 * batch * context,
        batch_tokens=batch * context,
        **fields,
    )


def write(path, shapes, vocab=256, context=128, batch=32):
    path.write_text(FILE.format(shapes=shapes, vocab=vocab, context=context, batch=batch))
    return path


# --- chips ---------------------------------------------------------------------------------------


def test_chips_are_found_by_name():
    assert (chips.find("v5e:2x4").chips, chips.find("v5p:4x4x4").chips, chips.find("h100x8").chips) == (
        8,
        64,
        8,
    )
    assert chips.find("h100").chips == 1
    assert chips.find("v3:2x2").devices == 8  # two a chip


@pytest.mark.parametrize(
    "name", ["v5e", "v5e:3x4", "v5litepod-8", "h100x", "h100x3", "h100x8x8", "v5ex8", ""]
)
def test_unknown_chips_are_one_error_that_names_those_there_are(name):
    with pytest.raises(ValueError, match=r"v5e:1x1\|2x2\|2x4.*v5p:.*h100xN"):
        chips.find(name)


# --- layouts by arithmetic -------------------------------------------------------------------------


def test_the_first_layout_is_the_fastest_that_a_model_fits_in():
    small, large = run(), run(32, 2560)
    on = chips.find("v5e:2x4")
    first = estimate.layouts(small, on)[0]
    assert first == Layout("mesh", 64, "everything")
    at = [at for at in estimate.layouts(large, on) if estimate.device_bytes(large, at, on) < on.chip.memory]
    assert {each.way for each in at} == {"fsdp"}  # 2.8 G weights and moments are 33 GB


def test_a_batch_that_does_not_split_says_what_would():
    assert "take batch_tokens=8192" in estimate.splits(run(batch=9), 8)
    assert "take micro_batch=8" in estimate.splits(run(batch=8, micro_batch=4), 8)
    assert not estimate.splits(run(batch=8), 8)


# --- the compiler's numbers extended ---------------------------------------------------------------


@given(
    layer=st.floats(1e-6, 1.0),
    rest=st.floats(1e-6, 1.0),
    token=st.floats(1e-9, 1e-4),
    vocab=st.sampled_from([256, 4096, 50_304]),
)
def test_a_step_that_is_linear_in_layers_and_vocabulary_comes_back(layer, rest, token, vocab):
    config = run(vocab=vocab)
    said = [
        (probe, rest + probe.layers * layer + probe.vocab * token) for probe in estimate.probes(config, 8)
    ]
    small = said[0][0].vocab
    whole = rest + 12 * layer + (small + (vocab - small) * estimate.READOUT_AGAIN) * token
    assert estimate.extend(config, said) == pytest.approx(whole)


def test_probes_have_no_loop():
    for vocab in (256, 50_304, 10**6):
        for probe in estimate.probes(run(vocab=vocab), 8):
            assert probe.sequences // 8 * 1024 * probe.vocab <= estimate.WIDE
            assert probe.layers <= 2


@pytest.mark.parametrize("seconds", [(-1.0, 2.0), (0.0, 1.0), (2.0, 1.0), (1.0, 1.0), (1.0, float("nan"))])
def test_numbers_that_can_not_be_are_refused(seconds):
    one, two = Probe(1, 256, 8), Probe(2, 256, 8)
    with pytest.raises(Nonsense):
        estimate.extend(run(vocab=256), [(one, seconds[0]), (two, seconds[1])])


def honest(config, on, speed=0.5):
    """What a compiler would say of probes that run at a share of the peak."""
    said = []
    for probe in estimate.probes(config, on.devices):
        model = replace(config.model, n_layer=probe.layers, vocab_size=probe.vocab)
        flops = counts.flops_exact(model) * probe.sequences * model.seq_len / on.devices
        said.append((probe, {"flops": flops, "seconds": flops / (speed * on.device_flops)}))
    return said


def test_a_step_at_half_the_peak_has_half_the_peak_as_mfu():
    config, on, at = run(24, 1024), chips.find("v5e:2x4"), Layout("fsdp", 64, "nothing")
    seconds = estimate.compiled_step(config, at, on, honest(config, on))
    bill = estimate.bill([config, config], on, seconds, 1.2)
    assert bill.mfu == pytest.approx(0.5, rel=0.05)  # that the optimiser comes once a step is taken off
    assert bill.tokens_per_second == config.batch_tokens / seconds
    assert bill.hours == pytest.approx(200 * seconds / 3600)
    assert bill.dollars == pytest.approx(8 * 1.2 * bill.hours)


def test_a_step_faster_than_the_peak_or_without_its_products_is_refused():
    config, on, at = run(24, 1024), chips.find("v5e:2x4"), Layout("fsdp", 64, "nothing")
    with pytest.raises(Nonsense, match="peak"):
        estimate.compiled_step(config, at, on, honest(config, on, speed=1.5))
    less = [(probe, about | {"flops": about["flops"] / 2}) for probe, about in honest(config, on)]
    with pytest.raises(Nonsense, match="products"):
        estimate.compiled_step(config, at, on, less)


def test_a_part_of_a_batch_is_timed_by_no_more_sequences_than_it_has():
    config = run(24, 1024)
    most = {n: {probe.sequences for probe in estimate.probes(config, 8, n)} for n in (0, 64, 16, 8)}
    assert most[0] == most[64] and most[16] == {16} and most[8] == {8}


def test_energy_is_said_where_the_power_is_known():
    config = run()
    assert estimate.bill([config], chips.find("v5e:2x4"), 0.1, None).joules is None
    bill = estimate.bill([config], chips.find("h100x8"), 0.1, None)
    assert bill.joules == pytest.approx(100 * 0.1 * 8 * 700) and bill.dollars is None


def test_what_is_needed_is_read_off_the_compilers_message():
    compiled = pytest.importorskip("lab.train.compiled")
    used = "RESOURCE_EXHAUSTED: Ran out of memory in memory space hbm. Used 16.60G of 15.75G hbm. Exceeded"
    assert compiled.memory_wanted(used) == (16.6 * 2**30, 15.75 * 2**30)
    large = "the total memory required for HLO temporaries (2.00T) exceeds available HBM (15.75G)."
    assert compiled.memory_wanted(large) == (2 * 2**40, 15.75 * 2**30)
    assert compiled.memory_wanted("something else") is None


class Memory:
    """Buffers of 4 bytes that are there all the time, and two of 100 that take turns in one place."""

    argument_size_in_bytes = output_size_in_bytes = alias_size_in_bytes = 4
    temp_size_in_bytes, generated_code_size_in_bytes = 200, 0


def test_the_peak_is_the_compilers_own_and_a_sum_where_it_has_none():
    compiled = pytest.importorskip("lab.train.compiled")
    own = type("Own", (Memory,), {"peak_memory_in_bytes": 104})
    assert compiled.peak_bytes(own()) == (104, True)
    assert compiled.peak_bytes(Memory()) == (204, False)
    config, on = run(), chips.find("v5e:2x4")
    at = {"way": "mesh", "micro_batch": 32, "remat": "nothing", "fits": True, "compile_seconds": 1.0}
    said = at | {"peak_bytes": 5e9, "available_bytes": 16e9, "tried": [], "seconds": 0.1}
    assert "summed" in plan_on.row([config], on, 1.2, said | {"memory": "summed"})["note"]


@pytest.mark.parametrize(
    ("peak", "error", "expected"),
    [
        (15.7, "", True),
        (15.8, "", False),  # whatever was compiled
        (0, "Used 15.75G of 15.75G hbm", False),  # whatever it is rounded to
        (0, "Used 16.60G of 15.75G hbm", False),
    ],
)
def test_what_fits_is_what_needs_no_more_than_there_is(monkeypatch, peak, error, expected):
    compiled = pytest.importorskip("lab.train.compiled")

    class Program:
        def compile(self, compiler_options=None):
            if error:
                raise RuntimeError(f"RESOURCE_EXHAUSTED: Ran out of memory in memory space hbm. {error}.")
            return self

        def memory_analysis(self):
            return type("Own", (Memory,), {"peak_memory_in_bytes": round(peak * 2**30)})

        lower, cost_analysis, as_text = lambda self, *args: self, lambda self: {}, lambda self: ""

    monkeypatch.setattr(compiled.parallel, "ahead", lambda *args, **more: (Program(), ()))
    monkeypatch.setattr(compiled, "devices", lambda on: (0,) * on.devices)
    said = compiled.answer(run(), chips.find("v5e:2x4"))
    assert said["fits"] is expected is (said["peak_bytes"] <= said["available_bytes"])


def test_what_the_compiler_says_is_taken_and_what_it_does_not_say_is_arithmetic():
    config, on = run(), chips.find("v5e:2x4")
    at = {"way": "mesh", "micro_batch": 32, "remat": "nothing"}
    said = at | {
        "fits": True,
        "peak_bytes": 5e9,
        "available_bytes": 16e9,
        "compile_seconds": 20.0,
        "tried": [at],
        "not_tried": [],
    }
    row = plan_on.row([config], on, 1.2, said | {"seconds": 0.1})
    assert (row["step_seconds"], row["peak_bytes"], row["basis"], row["note"]) == (0.1, 5e9, "compiler", "")
    row = plan_on.row([config], on, 1.2, said | {"refused": "the compiler says -2"})
    assert row["peak_bytes"] == 5e9 and row["note"] == "step by roofline: the compiler says -2"
    assert row["step_seconds"] == estimate.step_seconds(config, Layout(**at), on)
    row = plan_on.row([config], on, 1.2, {"error": "no answer in 5 s"})
    assert row["basis"] == "arithmetic" and "no answer in 5 s" in row["note"] and row["fits"]
    row = plan_on.row([config], on, 1.2, said | {"fits": False, "peak_bytes": 17e9})
    assert not row["fits"] and row["tokens_per_second"] is None and row["peak_bytes"] == 17e9


def test_a_compiler_has_so_much_time_and_no_more():
    (said,) = compilers.ask([run()], "v5e:2x4", limit=0.05)
    assert said == {"error": "no answer in 0.05 s"}


def test_jax_looks_for_no_tpu_where_libtpu_is_only_a_compiler(monkeypatch):
    for here, installed, said in (
        (False, True, {"JAX_PLATFORMS": "cpu"}),
        (True, True, {}),
        (False, False, {}),
    ):
        monkeypatch.setattr(processes, "on_cpu", lambda here=here: not here)
        monkeypatch.setattr(processes, "find_spec", lambda name, there=installed: there or None)
        env = {}
        processes.spare_libtpu(env)
        assert env == said


# --- the command -----------------------------------------------------------------------------------


def test_a_gpu_is_planned_by_arithmetic_and_says_so(tmp_path, lab_command):
    file = write(tmp_path / "mine.py", "[(2, 64, 2), (32, 4096, 32)]", vocab=32_000, context=2048, batch=16)
    said = json.loads(lab_command("plan", file, "--on", "h100x8", "--json", "--price", "2").stdout)
    small, large = said["shapes"]
    assert small["fits"] and large["fits"] and large["way"] == "fsdp"
    for shape in said["shapes"]:
        assert shape["basis"] == "arithmetic" and "roofline" in shape["note"]
        assert shape["peak_bytes"] < shape["available_bytes"] and shape["compile_seconds"] is None
        assert 0 < shape["mfu"] < 1 and shape["tokens_per_second"] > 0 and shape["joules"] > 0
        assert shape["dollars"] == pytest.approx(shape["hours"] * 8 * 2)
    text = lab_command("plan", file, "--on", "h100", "--set", "seed=3", "--store", "my runs").stdout
    assert " NO " in text and "a bound" in text
    assert f"there: lab run {file} --set seed=3 --store 'my runs'" in text


def test_what_can_not_be_planned_is_refused(tmp_path, lab_command):
    file = write(tmp_path / "mine.py", "[(2, 64, 2)]", batch=3)
    assert "no such chips" in lab_command("plan", file, "--on", "v9:2x2", code=1).stderr
    assert "--on" in lab_command("plan", file, "--json", code=1).stderr
    (shape,) = json.loads(lab_command("plan", file, "--on", "h100x2", "--json").stdout)["shapes"]
    assert not shape["fits"] and "does not split over 2 devices" in shape["note"]


@has_compiler
@pytest.mark.slow
def test_the_compiler_plans_a_small_model(tmp_path, lab_command):
    file = write(tmp_path / "mine.py", "[(2, 64, 2)]")
    (shape,) = json.loads(lab_command("plan", file, "--on", "v5e:2x2", "--json").stdout)["shapes"]
    assert shape["fits"] and shape["basis"] == "compiler" and not shape["note"]
    assert 0 < shape["peak_bytes"] < shape["available_bytes"]
    assert shape["compile_seconds"] > 0 and 0 < shape["mfu"] < 1 and shape["tokens_per_second"] > 1e5


LOOK = """
import sys
from lab.plan import chips, estimate
from lab.train import compiled
from tests.test_plan_on import run

on, way, layers, width, batch = chips.find(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:])
config = run(layers, width, batch=batch)
print(compiled.look(config, estimate.Layout(way, batch, "nothing"), on, compiled.devices(on)))
"""


@has_compiler
@pytest.mark.slow
@pytest.mark.parametrize(
    "asked",
    ["v5e:1x1 jit 2 64 8", "v5e:2x2 fsdp 2 64 8"],  # by hand: "v5e:4x4 fsdp 24 2048 128", a minute and a half
    ids=lambda asked: asked.replace(" ", "-"),
)
def test_the_compiler_fits_a_step_each_way(asked):
    command = [sys.executable, "-c", LOOK, *asked.split()]
    done = subprocess.run(
        command, env=os.environ | compilers.QUIET, capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stderr[-2000:]
    said = ast.literal_eval(done.stdout.strip().splitlines()[-1])
    assert 0 < said["peak"] < 15.75 * 2**30
