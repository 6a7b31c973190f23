"""Objectives: what is told from what, one data for every split, losses and units, a user's own."""

import re
from typing import get_args

import jax
import numpy as np
import pytest

from lab.config import ModelConfig, RunConfig, fields, userfile
from lab.data.corpora import open_corpus
from lab.models import tree
from lab.store import export
from lab.store.files import StoreError
from lab.train import objectives, step
from lab.train.evaluate import Evaluator
from lab.train.run import check_corpus
from lab.trained import weights
from tests.conftest import change
from tests.test_parallel import check_equal, said
from tests.test_parallel import start as start_process
from tests.test_step import start
from tests.test_train import stopping_after, trained, trainer_in, without_times

V, L = 40, 64
OWN = '''
import jax.numpy as jnp


def second(key, tokens, vocab_size):
    """The token after the next."""
    weights = jnp.ones(len(tokens) - 1).at[-1].set(0)
    return tokens[:-1], jnp.append(tokens[2:], 0), weights
'''


@pytest.fixture
def second(tmp_path, monkeypatch):
    monkeypatch.setattr(userfile, "NAMED", {})
    monkeypatch.setattr(userfile, "FOLDERS", [tmp_path])
    (tmp_path / "second.py").write_text(OWN)
    return "second.py:second"


def windows(number, seq_len=L, ids=V - 12):
    return np.random.default_rng(0).integers(0, ids, (number, seq_len + 1)).astype(np.int32)


def made(name, tokens_BL, update=0):
    cfg = ModelConfig(d_model=4, n_layer=1, n_head=1, vocab_size=V, seq_len=tokens_BL.shape[1] - 1)
    return [
        np.asarray(part) for part in jax.jit(lambda t: objectives.examples(name, cfg, t, update))(tokens_BL)
    ]


def test_every_word_of_the_config_is_an_entry():
    assert set(get_args(fields.hints_of(RunConfig)["objective"])) == set(objectives.OBJECTIVES)


def test_masked_tells_15_percent_of_the_places_of_which_80_are_hidden_10_others_and_10_as_they_were():
    tokens = windows(400)
    inputs, targets, told = made("masked", tokens)
    np.testing.assert_array_equal(targets, tokens[:, :-1])
    np.testing.assert_array_equal(told.sum(1), round(0.15 * L))
    np.testing.assert_array_equal(inputs[told == 0], targets[told == 0])
    hidden, same = inputs[told == 1] == V - 1, inputs[told == 1] == targets[told == 1]
    assert hidden.mean() == pytest.approx(0.8, abs=0.02)
    assert same.mean() == pytest.approx(0.1 + 0.1 / (V - 1), abs=0.02)
    assert np.abs(told.mean(0) - 0.15).max() < 0.08  # every place alike


def test_prefix_tells_the_end_of_a_window_from_its_beginning():
    tokens = windows(400)
    inputs, targets, told = made("prefix", tokens)
    np.testing.assert_array_equal(inputs, tokens[:, :-1])
    np.testing.assert_array_equal(targets, tokens[:, 1:])
    assert (np.diff(told, axis=1) >= 0).all() and told.sum(1).min() < 4 and told.sum(1).max() > L - 4
    assert told[:, -1].all() and told.mean() == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("seq_len", [8, 17, 64])
def test_a_corrupted_text_and_its_answer_give_the_text_back(seq_len):
    tokens = windows(3, seq_len)
    inputs, targets, told = made("span_corruption", tokens)
    length, noise, spans = objectives.spans_of(seq_len)
    for row in range(3):
        whole = np.append(inputs[row, :1], targets[row])
        np.testing.assert_array_equal(whole[1:-1], inputs[row, 1:])
        begin, end = 1 + np.flatnonzero(told[row])[[0, -1]] + [0, 1]
        text, answer = whole[:begin], whole[begin:end]
        assert (len(text), len(answer)) == (length - noise + spans, noise + spans + 1)
        assert answer[-1] == V - 1 - spans
        marks = [V - 1 - k for k in range(spans)]
        places = [*(int(np.flatnonzero(answer == mark)[0]) for mark in marks), len(answer) - 1]
        found = []
        for token in text:
            k = V - 1 - token
            found += [token] if token not in marks else [*answer[places[k] + 1 : places[k + 1]]]
        np.testing.assert_array_equal(found, tokens[row, :length])


@pytest.mark.parametrize("name", ["masked", "prefix", "span_corruption"])
def test_an_example_depends_on_its_window_and_update_alone(name):
    tokens = windows(8)
    whole = made(name, tokens)
    for rows in (slice(4, 8), slice(None, None, -1)):  # on another device, in another order
        for part, again in zip(whole, made(name, tokens[rows]), strict=True):
            np.testing.assert_array_equal(part[rows], again)
    later, other = made(name, tokens, 1), made(name, tokens ^ 1)
    assert ((later[2] != whole[2]).any() and (other[2] != whole[2]).any()) or name == "span_corruption"
    assert (later[0] != whole[0]).any() or name == "prefix"


# --- losses ----------------------------------------------------------------------------------------

WAYS = """
from dataclasses import replace
config = replace(config_of(8, optimizer="sgd", clip=0.0), objective="prefix")
config = replace(config, model=replace(config.model, n_layer=1, activation="gelu"))
ways = [("jit", 1), ("mesh", 2), ("fsdp", 8), ("pmap", 4)]
print(json.dumps({f"{way}-{n}": trained(config, way, jax.devices()[:n]) for way, n in ways}))
"""


def test_targets_with_weights_give_one_loss_however_the_batch_is_split():
    found = said(start_process(WAYS, 8))
    check_equal(found, found.pop("jit-1"))


def test_a_weighted_gradient_is_that_of_the_mean_over_all_targets(config):
    config = change(config, objective="prefix", micro_batch=2)
    state, tokens = start(config), windows(8, 16, 8)
    inputs, targets, told = objectives.examples("prefix", config.model, tokens, 0)

    def loss(params):
        return (tree.losses(config.model, params, inputs, targets)[0] * told).sum() / told.sum()

    expected, grads = jax.jit(jax.value_and_grad(loss))(state.params)
    ours = jax.jit(lambda p: step.loss_and_grads(config.shape, p, tokens, 0))
    (nats, weight), found = ours(state.params)
    assert float(nats / weight) == pytest.approx(float(expected), rel=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a / weight, b, rtol=1e-4, atol=1e-7), found, grads)


@pytest.mark.parametrize("name", ["masked", "second"])
def test_a_run_learns_is_resumed_to_the_bit_and_says_the_unit(tmp_path, config, second, name):
    name = second if name == "second" else name
    config = change(config, objective=name, model__vocab_size=9, tokens=100 * 128)
    corpus, alone = open_corpus(config.data.corpus), trainer_in(tmp_path / "alone")
    record = trained(alone, config, corpus)
    part = trainer_in(tmp_path / "part", stopping=stopping_after(3))
    assert trained(part, config, corpus) is None
    assert trained(trainer_in(tmp_path / "part"), config, corpus)["loss"] == record["loss"]
    assert without_times(part.store, config) == without_times(alone.store, config)
    curve = alone.store.curve(config.run_id)
    assert float(curve[-1]["loss"]) < float(curve[0]["loss"])
    held_out = Evaluator.from_corpus(corpus, 16).for_objective(config.objective, config.model)
    each = 15 if name != "masked" else 2
    assert record["held_out_tokens"] == held_out.mask_WL.all(1).sum() * each
    assert record["bits_per_byte"] is None
    row = export.row(config, record)
    assert row["loss_unit"] == ("nats/masked token" if name == "masked" else "nats/target")
    assert row["objective"] == config.objective
    if name == "masked":
        alone.store.write_record(config.run_id, record)
        with pytest.raises(
            StoreError, match="learned 'masked', and what follows a text is not what it tells"
        ):
            weights.read(alone.store, config.run_id)


# --- what is refused ---------------------------------------------------------------------------------


def test_marks_that_are_ids_of_the_text_are_refused(config):
    corpus = open_corpus(config.data.corpus)
    for name, size in (("masked", 9), ("span_corruption", 10)):
        with pytest.raises(ValueError, match=f"make vocab_size at least {size} .it is 8"):
            check_corpus(change(config, objective=name), corpus)
        check_corpus(change(config, objective=name, model__vocab_size=size), corpus)
    with pytest.raises(ValueError, match="did you mean 'masked'"):
        change(config, objective="maskd")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("def second", "second = 3\ndef other", "is neither a function of (key, tokens, vocab_size)"),
        ("tokens[:-1],", "tokens,", "inputs, targets and weights are (L,) = (16,) each"),
        (".set(0)", ".set(-1)", "they are 0 or more, and not all 0"),
        ("jnp.append(tokens[2:], 0)", "jnp.append(tokens[2:], vocab_size)", "outside of 0..7"),
    ],
)
def test_an_own_objective_that_makes_no_examples_is_refused(config, second, old, new, words):
    userfile.FOLDERS[0].joinpath("second.py").write_text(OWN.replace(old, new))
    config = change(config, objective=second)
    with pytest.raises(ValueError, match=re.escape(words)):
        check_corpus(config, open_corpus(config.data.corpus))


def test_an_own_objective_is_identified_by_its_code(config, second):
    before = change(config, objective=second)
    userfile.FOLDERS[0].joinpath("second.py").write_text(OWN.replace("set(0)", "set(1)"))
    after = change(config, objective=second)
    assert len({config.run_id, before.run_id, after.run_id}) == 3
    assert before.objective.startswith("second.py:second@")
