"""A config is checked once, survives JSON, and its run_id is its content."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.commands.settings import override
from lab.config import DataConfig, ModelConfig, OptimConfig, RunConfig, from_json, to_json
from lab.config import run as config

SHA = "ab" * 32
MODEL = {"d_model": 32, "n_layer": 2, "n_head": 2, "vocab_size": 256, "seq_len": 64}


def a_run(**fields) -> RunConfig:
    defaults = {
        "model": ModelConfig(**MODEL),
        "optim": OptimConfig(learning_rate=0.01),
        "data": DataConfig(sha256=SHA, corpus="text", train_tokens=10_000),
        "tokens": 10_000,
        "batch_tokens": 128,
    }
    return RunConfig(**(defaults | fields))


def test_run_ids_stay_what_they_are():
    # Ids name folders of finished runs on people's disks: a change here orphans them all. Raise
    # NUMERICS when results change on purpose; a new field with a default changes none of these.
    gpt2 = ModelConfig(**MODEL, norm="layernorm", position="learned", activation="gelu", tied=True)
    sgd = OptimConfig(learning_rate=0.1, optimizer="sgd", clip=0.0)
    found = [a_run(), a_run(model=gpt2, seed=3), a_run(optim=sgd, tokens=20_000, micro_batch=1)]
    assert [run.run_id for run in found] == ["0a31881452a1", "9bbb937a8e3a", "ccb587d451d0"]


def test_runs_whose_results_changed_alone_have_ids_of_their_own(monkeypatch):
    mup = a_run(model=ModelConfig(**MODEL, parameterization="mup"))
    before, now = a_run(model=mup.model, seed=0), mup.run_id
    monkeypatch.setattr(config, "NUMERICS_OF", {})
    assert before.run_id != now


def test_labels_do_not_change_the_run_id():
    labelled = a_run(data=DataConfig(sha256=SHA, corpus="text:/elsewhere", train_tokens=20_000), budget=1e12)
    assert labelled.run_id == a_run().run_id


@pytest.mark.parametrize(
    "other",
    [
        {"seed": 1},
        {"data_seed": 1},
        {"tokens": 20_000},
        {"micro_batch": 1},
        {"model": ModelConfig(**MODEL, dtype="bfloat16")},
        {"model": ModelConfig(**MODEL | {"n_head": 1}, kind="lstm")},
        {"optim": OptimConfig(learning_rate=0.01, warmup_steps=7)},
        {"data": DataConfig(sha256="cd" * 32, corpus="text", train_tokens=10_000)},
    ],
)
def test_whatever_changes_numbers_changes_the_run_id(other):
    assert a_run(**other).run_id != a_run().run_id


@given(
    heads=st.integers(1, 8),
    width=st.integers(1, 16),
    layers=st.integers(1, 9),
    rate=st.floats(1e-6, 1.0),
    seed=st.integers(0, 2**31),
    tokens=st.integers(1, 10**12),
    activation=st.sampled_from(["gelu", "swiglu"]),
    tied=st.booleans(),
)
def test_json_gives_back_the_same_run(heads, width, layers, rate, seed, tokens, activation, tied):
    model = ModelConfig(
        d_model=2 * heads * width,
        n_head=heads,
        n_layer=layers,
        vocab_size=11,
        seq_len=64,
        activation=activation,
        tied=tied,
    )
    run = a_run(model=model, optim=OptimConfig(learning_rate=rate), seed=seed, tokens=tokens)
    again = from_json(json.loads(json.dumps(to_json(run))))
    assert again == run and again.run_id == run.run_id


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"d_model": 30, "n_head": 4}, "nearest width that does is 32"),
        ({"d_model": 6, "n_head": 2}, "even width"),
        ({"n_layer": 0}, "n_layer"),
        ({"norm": "batchnorm"}, "'rmsnorm', 'layernorm'"),
        ({"kind": "rnn"}, "'transformer', 'lstm', 'gru'"),
        ({"kind": "lstm"}, "n_head=2 means nothing for kind='lstm'.* leave it at 1"),
        ({"kind": "gru", "n_head": 1, "norm": "layernorm"}, "leave it at 'rmsnorm'"),
        ({"kind": "lstm", "n_head": 1, "d_ff": 64}, "d_ff=64 means nothing"),
    ],
)
def test_an_impossible_shape_is_refused_with_what_to_do(fields, words):
    with pytest.raises(ValueError, match=words):
        ModelConfig(**(MODEL | fields))


def test_a_batch_that_is_no_whole_number_of_sequences_is_refused():
    with pytest.raises(ValueError, match="nearest is 128"):
        a_run(batch_tokens=130)
    with pytest.raises(ValueError, match=r"micro_batch=3 .* \[1, 2\]"):
        a_run(micro_batch=3)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda tree: tree | {"tokns": 5}, "unknown field 'tokns'"),
        (lambda tree: tree | {"tokens": "many"}, "tokens='many' should be a whole number"),
        (lambda tree: {k: v for k, v in tree.items() if k != "data"}, "'data' is missing"),
        (lambda tree: tree | {"model": tree["model"] | {"depth": 2}}, "unknown field 'depth'"),
        (lambda tree: [tree], "expected an object"),
    ],
)
def test_a_config_file_that_is_wrong_is_refused_with_the_field(change, words):
    with pytest.raises(ValueError, match=words):
        from_json(change(to_json(a_run())))


def test_set_replaces_one_field_and_refuses_what_is_none():
    assert override(a_run(), "optim.learning_rate=0.5").optim.learning_rate == 0.5
    assert override(a_run(), "model.norm=layernorm").model.norm == "layernorm"
    for wrong in ("optim.rate=1", "optim=1", "nonsense", "seed=many"):
        with pytest.raises(ValueError, match="--set"):
            override(a_run(), wrong)


def test_runs_of_one_shape_differ_in_rate_decay_horizon_length_and_seed_alone():
    base = a_run()
    same = a_run(
        optim=OptimConfig(learning_rate=0.3, weight_decay=0.0, warmup_steps=9, horizon_steps=99),
        seed=5,
        data_seed=6,
        tokens=50_000,
    )
    assert same.shape == base.shape
    for optim in ({"clip": 0.5}, {"schedule": "linear"}, {"beta2": 0.9}):
        assert a_run(optim=OptimConfig(learning_rate=0.01, **optim)).shape != base.shape
    assert replace(base, micro_batch=1).shape != base.shape


def test_counts_may_be_written_as_floats_that_are_whole(config):
    assert replace(config, tokens=2e6) == replace(config, tokens=2_000_000)
    assert replace(config, tokens=2e6).run_id == replace(config, tokens=2_000_000).run_id
    assert type(replace(config, tokens=np.int64(2_000_000)).tokens) is int
    for wrong in (2.5, float("nan"), float("inf"), "2000", True):
        with pytest.raises(ValueError, match="should be a whole number"):
            replace(config, tokens=wrong)
