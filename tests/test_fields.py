"""A field reaches what its declaration says: run_id, compiled program, the step's arrays, the table."""

import json
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Literal, get_args, get_origin

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.config import DataConfig, ModelConfig, OptimConfig, RunConfig, from_json, to_json
from lab.config import fields as declarations
from lab.plan import grid
from lab.store import export
from lab.train.step import hyper_of, learning_rate

LONG = {"warmup_steps": 3, "horizon_steps": 30}  # apart from the run's length
RUN = RunConfig(
    model=ModelConfig(d_model=32, n_layer=2, n_head=1, vocab_size=256, seq_len=64),
    # a shape of the cool-down changes nothing without a cool-down
    optim=OptimConfig(learning_rate=0.01, schedule="constant", cooldown_fraction=0.5),
    data=DataConfig(sha256="ab" * 32, corpus="text", train_tokens=10_000),
    tokens=10_000,
    batch_tokens=128,
)
# where no rule makes another valid value of this one
OTHERS = {
    "sha256": "cd" * 32,
    "corpus": "other",
    "tokenizer": "chars",
    "micro_batch": 1,
    "warmup_steps": 7,
    "unique_tokens": 5_000,
    "init_from": "0123456789ab@5",
    "settings": '{"window": 4}',
    "ema": 0.5,
}


# what a field stands beside, where it means nothing without
BESIDE = {
    "optim__momentum": {"optim__optimizer": "muon"},
    "optim__settings": {"optim__optimizer": "mine.py:walk@0123456789ab"},
}


def other_value(config, name):
    """A value that a field may hold and does not."""
    hint, now = declarations.hints_of(type(config))[name], getattr(config, name)
    if name in OTHERS:
        return OTHERS[name]
    if get_origin(hint) is Literal:
        return next(word for word in get_args(hint) if word != now)
    return not now if hint is bool else 2 * now or 4 if hint is int else now / 2 or 0.5


def shown(run):
    """Its row, had it been trained to its end."""
    return export.row(run, {"status": "done", "steps": run.steps, "loss": 1.0, "init_from": run.init_from})


def check_reach(run, name, value):
    """Assert that replacing a field, written `part__field`, reaches what its declaration says."""
    part, _, inner = name.partition("__")
    kind = type(getattr(run, part)) if inner else RunConfig
    about = declarations.declared(kind)[inner or part].metadata
    reach, shows = about["reach"], about["reach"] != "label" or about["column"] is None
    # warm-up and horizon follow from a run's length, which is fed, unless they are given
    runs = [run, grid.with_fields(run, {f"optim__{field}": steps for field, steps in LONG.items()})]
    pairs = [(before, grid.with_fields(before, {name: value})) for before in runs]
    for before, after in pairs:
        assert (before.run_id != after.run_id) == (reach != "label"), "run_id"
        assert (before.shape != after.shape) == (reach == "static"), "shape"
        assert not shows or shown(before) != shown(after) | {"run_id": before.run_id}, "row"
    follows, given = (before.hyper != after.hyper for before, after in pairs)
    assert (given or follows if reach == "traced" else given) == (reach == "traced"), "hyper"
    assert reach == "label" or any(before.numbers != after.numbers for before, after in pairs), "numbers"


def names(kind, part=""):
    for item in fields(kind):
        hint = declarations.hints_of(kind)[item.name]
        yield from names(hint, f"{item.name}__") if is_dataclass(hint) else [part + item.name]


@pytest.mark.parametrize("name", list(names(RunConfig)))
def test_a_field_reaches_id_program_arrays_and_table_as_its_declaration_says(name):
    part, _, inner = name.partition("__")
    run = grid.with_fields(RUN, BESIDE.get(name, {}))
    check_reach(run, name, other_value(getattr(run, part) if inner else run, inner or part))


def test_columns_of_the_configs_are_columns_of_the_table_and_each_has_one_field():
    parts = (ModelConfig, OptimConfig, DataConfig, RunConfig)
    columns = [column for kind in parts for column in declarations.columns_of(kind)]
    assert len(set(columns)) == len(columns) and set(columns) <= set(export.COLUMNS)
    assert set(shown(RUN)) == set(export.COLUMNS)


@dataclass(frozen=True, kw_only=True)
class More(OptimConfig):
    """As a later version might have it."""

    nesterov: bool = declarations.static(False)
    damping: float = declarations.traced(0.5, rule=declarations.FRACTION)
    note: str = declarations.label("")


@pytest.mark.parametrize(("name", "value"), [("nesterov", True), ("damping", 0.25), ("note", "x")])
def test_a_new_field_reaches_them_by_its_declaration_alone(name, value):
    known = {item.name: getattr(RUN.optim, item.name) for item in fields(OptimConfig)}
    more = replace(RUN, optim=More(**known))
    assert more.run_id == RUN.run_id, "at its default it orphans no old run"
    check_reach(more, f"optim__{name}", value)


def test_a_field_that_does_not_say_what_it_is_is_refused():
    @dataclass(frozen=True, kw_only=True)
    class Bare(OptimConfig):
        nesterov: bool = False

    with pytest.raises(TypeError, match=r"Bare.nesterov must be declared static, traced, fed or label"):
        Bare(learning_rate=0.1)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("optim__learning_rate", 0.0, "learning_rate=0.0 must be above 0"),
        ("optim__beta1", 1.5, "beta1=1.5 must be at least 0 and below 1"),
        ("optim__beta2", 1, "beta2=1.0 must be at least 0 and below 1"),  # the mean square would be 0/0
        ("optim__eps", 1e-300, "eps=1e-300 must be above 0 in float32"),
        ("optim__learning_rate", 1e300, "learning_rate=1e\\+300 should be a finite number of float32"),
        ("data__sha256", "zz" * 32, "is no SHA-256"),
        ("optim__warmup_steps", -1, "warmup_steps=-1 is negative; 0 means by warmup_fraction"),
        ("optim__weight_decay", float("nan"), "weight_decay=nan should be a finite number"),
        ("model__d_ff", -8, "d_ff=-8 is negative; 0 means the default of the activation"),
        ("micro_batch", -1, "micro_batch=-1 is negative"),
        ("data_seed", -1, "data_seed=-1 must be in 0..2"),
        ("seed", 2**32, "seed=4294967296 must be in 0..2"),  # whose loss would be that of seed 0
        ("optim__learning_rate", float("inf"), "learning_rate=inf should be a finite number"),
        ("optim__learning_rate", True, "learning_rate=True should be a finite number"),
        ("optim__weight_decay", 10**400, "weight_decay=1000"),
        ("optim__clip", float("nan"), "clip=nan should be a finite number"),
        ("model__remat", 1, "remat=1 should be true or false"),
        ("model__tied", "false", "tied='false' should be true or false"),
        ("budget", float("nan"), "budget=nan should be a finite number"),
        ("data__tokenizer", None, "tokenizer=None should be a text"),
        ("tokens", "1000", "tokens='1000' should be a whole number"),
    ],
)
def test_a_value_that_a_field_can_not_hold_is_refused_with_the_rule(name, value, words):
    with pytest.raises(ValueError, match=words):
        grid.with_fields(RUN, {name: value})


def spellings(value):
    """Other ways to write the same value."""
    if isinstance(value, bool):
        return [np.bool_(value)]
    if isinstance(value, float):
        ways = [np.float64(value), np.array(value), jnp.float32(value)]
        if value == 0:
            ways += [-0.0]
        return [way for way in [*ways, *([int(value)] if value % 1 == 0 else [])] if float(way) == value]
    if isinstance(value, int):
        return [float(value), np.int64(value), np.float32(value), jnp.int32(value)]
    return [np.str_(value), *([value.upper()] if value == "cd" * 32 else [])]


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(list(names(RunConfig))), st.data())
def test_equal_values_have_equal_ids_however_they_are_written(name, data):
    part, _, inner = name.partition("__")
    before = grid.with_fields(RUN, BESIDE.get(name, {}))
    config = getattr(before, part) if inner else before
    value = data.draw(st.sampled_from([getattr(config, inner or part), other_value(config, inner or part)]))
    run = grid.with_fields(before, {name: value})
    for spelling in spellings(value):
        again = grid.with_fields(before, {name: spelling})
        assert (again.run_id, again) == (run.run_id, run), repr(spelling)
        stored = json.loads(json.dumps(to_json(again), allow_nan=False))
        assert (from_json(stored), from_json(stored).run_id) == (run, run.run_id), repr(spelling)


@pytest.mark.parametrize(
    "change",
    [
        {"optim__warmup_steps": round(RUN.optim.warmup_fraction * RUN.steps)},
        {"optim__horizon_steps": RUN.steps},
        {"data__unique_tokens": RUN.data.train_tokens},
        {"tokens": RUN.tokens + 1},  # rounded to the same steps
        {"model__d_ff": RUN.model.ffn_width},
        {"optim__learning_rate": np.float32(RUN.optim.learning_rate)},  # not 0.01, and 0.01 in the step
    ],
)
def test_a_run_written_in_two_ways_is_refused_where_it_would_pass_for_a_repeat(change):
    twin = grid.with_fields(RUN, change)
    assert twin.run_id != RUN.run_id and twin.numbers == RUN.numbers
    field = next(iter(change)).split("__")[-1]
    with pytest.raises(ValueError, match=rf"one run written in two ways \(.*{field}="):
        grid.unique([RUN, twin])
    assert len(grid.unique([RUN, RUN, replace(RUN, seed=1)])) == 2


SCHEDULES = st.fixed_dictionaries(
    {
        "optim__schedule": st.sampled_from(["cosine", "linear", "constant"]),
        "optim__warmup_steps": st.sampled_from([1, 2, 10]),
        "optim__horizon_steps": st.sampled_from([20, RUN.steps, 90]),
        "optim__cooldown_fraction": st.sampled_from([0.0, 0.25, 0.5]),
        "optim__cooldown_shape": st.sampled_from(["linear", "1-sqrt"]),
        "optim__final_fraction": st.sampled_from([0.0, 0.1, 1.0]),
    }
)


@settings(max_examples=150, deadline=None)
@given(SCHEDULES, SCHEDULES)
def test_runs_are_one_run_where_their_rates_are_equal_to_the_bit(one, other):
    def rates(run):
        return np.asarray(learning_rate(run.optim, np.arange(run.steps), hyper_of(run)))

    one, other = (grid.with_fields(RUN, changes) for changes in (one, other))
    assert (one.numbers == other.numbers) == np.array_equal(rates(one), rates(other))


@pytest.mark.parametrize("settings", [{"w": 4.0}, {"w": np.int64(4)}, {"w": jnp.int32(4)}, '{"w":4}'])
def test_settings_of_an_own_optimiser_are_equal_however_they_are_written(settings):
    run, twin = (
        grid.with_fields(RUN, BESIDE["optim__settings"] | {"optim__settings": some})
        for some in ({"w": 4}, settings)
    )
    assert twin.numbers == run.numbers
    assert twin.run_id == run.run_id or isinstance(settings["w"], float), "4.0 is not 4 to all code"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"data__unique_tokens": 63}, "less than one window"),
        ({"data__corpus": 'mix:{"a": 1}', "data__unique_tokens": 640}, "limits of their own"),
    ],
)
def test_plan_refuses_data_that_no_worker_can_train_on(change, words):
    with pytest.raises(ValueError, match=words):
        grid.check_data(grid.with_fields(RUN, change | {"data__max_epochs": 1e9}))
