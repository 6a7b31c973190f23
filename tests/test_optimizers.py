"""Optimisers: each is its library's, whatever the way; what it ignores is refused; averages of weights."""

import re
from dataclasses import replace
from functools import partial, reduce
from operator import getitem
from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lab.config import OptimConfig, fields, userfile
from lab.data.corpora import open_corpus
from lab.models import tree
from lab.store import export
from lab.store.store import Store
from lab.train import lanes, optimizers, step
from lab.train.evaluate import Evaluator, window_nats
from lab.trained import weights
from tests.conftest import change
from tests.test_parallel import said
from tests.test_parallel import start as start_process
from tests.test_train import stopping_after, trained, trainer_in, without_times

WALK = '''
import optax


def walk(model, optim, momentum):
    """Signs of a heavy ball."""
    return optax.chain(optax.trace(momentum), optax.scale_by_sign())
'''


def of(config, optimizer, **more):
    schedule = {"optim__schedule": "constant"} if optimizer == "schedule-free" else {}
    return change(config, optim__optimizer=optimizer, **schedule, **more)


@pytest.fixture
def walk(tmp_path, monkeypatch):
    monkeypatch.setattr(userfile, "NAMED", {})
    monkeypatch.setattr(userfile, "FOLDERS", [tmp_path])
    (tmp_path / "walk.py").write_text(WALK)
    return "walk.py:walk"


def test_every_word_of_the_config_is_an_entry():
    words = get_args(fields.hints_of(OptimConfig)["optimizer"])
    assert set(words) == set(optimizers.OPTIMIZERS)


def updates(config, n=3):
    """The weights and what is kept after each of n updates by random gradients, and the latter."""
    params = tree.init(config.model, jax.random.key(0))
    leaves, structure = jax.tree.flatten(params)
    rng = np.random.default_rng(0)
    grads = [structure.unflatten([rng.normal(size=leaf.shape) for leaf in leaves]) for _ in range(n)]
    grads = jax.tree.map(np.float32, grads)
    rate, decay = jnp.float32(config.optim.learning_rate), jnp.float32(config.optim.weight_decay)
    ours = jax.jit(lambda g, state, params: optimizers.update(config.shape, g, state, params, rate, decay))
    found = [(params, optimizers.init(config.shape, params))]
    for each in grads:
        found.append(ours(each, found[-1][1], found[-1][0]))
    return found, grads


def near(a, b):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), a, b)


LIBRARY = {
    "lion": lambda o: optax.lion(o.learning_rate, o.beta1, o.beta2, weight_decay=0.0),
    "adafactor": lambda o: optax.adafactor(o.learning_rate, multiply_by_parameter_scale=False),
    "schedule-free": lambda o: optax.contrib.schedule_free_adamw(
        o.learning_rate, b1=o.beta1, b2=o.beta2, eps=o.eps
    ),
}


@pytest.mark.parametrize("optimizer", LIBRARY)
def test_updates_are_the_library_optimiser_s(config, optimizer):
    config = of(config, optimizer, optim__weight_decay=0.0, optim__clip=0.0)
    reference, (found, grads) = LIBRARY[optimizer](config.optim), updates(config)
    params = found[0][0]
    kept = reference.init(params)
    for each in grads:
        moves, kept = jax.jit(reference.update)(each, kept, params)
        params = optax.apply_updates(params, moves)
    near(found[-1][0], params)
    scored = optimizers.evaluated(config.optim, *found[-1])
    assert (scored is found[-1][0]) == (optimizer != "schedule-free")
    if optimizer == "schedule-free":
        near(scored, optax.contrib.schedule_free_eval_params(kept, params))


def moved(config):
    """Each weight's first update by its path, as a matrix."""
    ((before, _), (after, _)), _ = updates(config, 1)
    found = {}
    for weight in tree.describe(config.model):
        was, now = (np.asarray(reduce(getitem, weight.path, params)) for params in (before, after))
        first = weight.shape[0] == config.model.d_model
        shape = (weight.shape[0], -1) if first else (-1, weight.shape[-1])
        found[weight.path] = (was - now).reshape(shape)
    return found


def test_muon_makes_hidden_matrices_orthogonal_and_moves_all_else_as_adamw(config):
    config = of(config, "muon", optim__weight_decay=0.0)
    found, by_adamw = moved(config), moved(change(config, optim__optimizer="adamw"))
    for weight in tree.describe(config.model):
        matrix = found[weight.path]
        if weight.role != "hidden":
            near(matrix, by_adamw[weight.path])
            continue
        sizes = np.linalg.svd(matrix / config.optim.learning_rate, compute_uv=False)
        sizes /= 0.2 * max(matrix.shape) ** 0.5
        assert 0.3 < sizes.min() and sizes.max() < 1.3, weight.path  # after Newton and Schulz's five rounds


def test_muon_inside_a_patch_takes_the_patch_s_width_for_a_side(config):
    model = replace(config.model, kind="megabyte", d_model=64, n_head=2, seq_len=16)
    sides = {}
    for weight in tree.describe(model):
        if weight.role == "hidden" and weight.path[0].startswith("local_") and len(weight.shape) == 3:
            found = optimizers.matrix_sides(model, weight)
            sides[weight.path[-1]] = (found.reduction_axis, found.output_axis)
    assert set(sides.values()) == {((0,), (1, 2)), ((0, 1), (2,))}, "no head is a matrix by itself"


@pytest.mark.parametrize(("parameterization", "exponent"), [("standard", 0.5), ("mup", 0.0)])
def test_under_mup_an_update_of_muon_has_one_norm_at_every_width(config, parameterization, exponent):
    norms = []
    for width in (16, 128):
        wide = of(config, "muon", model__d_model=width, model__parameterization=parameterization)
        first = next(
            matrix
            for path, matrix in moved(change(wide, optim__weight_decay=0.0)).items()
            if path[-1] == "w_q_DHK"
        )
        norms.append(np.linalg.norm(first, 2))
    assert norms[1] / norms[0] == pytest.approx(8**exponent, rel=0.25)


# --- every way -------------------------------------------------------------------------------------

WAYS = """
found = {}
jax.config.update("jax_disable_most_optimizations", True)  # compiling is most of the time
every = ("mesh", "fsdp", "pmap")
fsdp = ("fsdp",)
for optimizer, ways in (("muon", every), ("schedule-free", fsdp), ("adafactor", fsdp)):
    averaged = optimizer == "schedule-free"
    how = {"schedule": "constant"} if averaged else {"ema": 0.9}
    config = replace(config_of(), optim=OptimConfig(optimizer=optimizer, learning_rate=0.02, **how))
    config = replace(config, model=replace(config.model, n_layer=1, activation="gelu"))
    for way, n in [("jit", 1), *((way, 8) for way in ways)]:
        compiled, state = placed(config, way, jax.devices()[:n])
        lies = sum(leaf.addressable_shards[0].data.nbytes for leaf in jax.tree.leaves(state))
        state, metrics = compiled.step(state, tokens[None], np.int32(6))
        state = compiled.fetch(state)
        average = optimizers.evaluated(config.optim, state.params, state.opt_state, not averaged)
        norms = [float(optax.tree.norm(params)) for params in (state.params, average)]
        found.setdefault(optimizer, {})[way] = [np.asarray(metrics["loss"]).tolist(), norms, lies]
print(json.dumps(found))
"""


def test_each_learns_alike_by_jit_mesh_fsdp_and_pmap():
    imports = "import optax\nfrom dataclasses import replace\nfrom lab.train import optimizers\n"
    found = said(start_process(imports + WAYS, 8))
    for optimizer, ways in found.items():
        losses, norms, whole = ways.pop("jit")
        assert losses[-1] < losses[0] - 0.01
        for way, (others, other_norms, lies) in ways.items():
            assert others == pytest.approx(losses, rel=1e-4), (optimizer, way)
            assert other_norms == pytest.approx(norms, rel=1e-4), (optimizer, way)
            if way == "fsdp" and optimizer != "adafactor":  # which keeps sums of rows and columns
                assert lies < whole / 5, optimizer


@pytest.mark.parametrize("optimizer", optimizers.OPTIMIZERS)
def test_updates_of_a_pack_are_those_of_each_run_alone(config, optimizer):
    config = of(config, optimizer, **({} if optimizer == "schedule-free" else {"optim__ema": 0.9}))
    others = change(config, optim__learning_rate=0.02, optim__weight_decay=0.0)
    assert others.shape == config.shape
    params, (grads,) = updates(config, 1)[0][0][0], updates(config, 1)[1]
    update = partial(optimizers.update, config.shape, grads, optimizers.init(config.shape, params), params)
    rates, decays = np.float32([0.01, 0.02]), np.float32([0.1, 0.0])
    stack = jax.jit(jax.vmap(update))(rates, decays)
    scored = lanes.program_of_weights(config.optim, bool(config.optim.ema), True)(*stack)
    for lane, run in enumerate((config, others)):
        alone = updates(run, 1)[0][1]
        near(jax.tree.map(lambda leaf, lane=lane: leaf[lane], stack), alone)
        expected = optimizers.evaluated(run.optim, *alone, bool(run.optim.ema))
        near(jax.tree.map(lambda leaf, lane=lane: leaf[lane], scored), expected)


# --- averages, and whole runs ------------------------------------------------------------------------


def test_the_average_is_that_of_the_weights_after_each_update(config):
    config = change(config, optim__ema=0.75)
    (_, *found), _ = updates(config, 4)
    shares = 0.75 ** np.arange(3, -1, -1.0)
    expected = jax.tree.map(
        lambda *w: np.average(w, axis=0, weights=shares), *(params for params, _ in found)
    )
    near(optimizers.evaluated(config.optim, *found[-1], average=True), expected)


def test_an_average_is_scored_beside_the_weights_and_changes_none_of_them(tmp_path, config):
    corpus, longer = open_corpus(config.data.corpus), change(config, tokens=100 * 128)
    plain, kept = trainer_in(tmp_path / "plain"), trainer_in(tmp_path / "ema")
    average = change(longer, optim__ema=0.9)
    record, other = trained(plain, longer, corpus), trained(kept, average, corpus)
    assert other["loss"] == record["loss"] and "loss_ema" not in record
    assert other["loss_ema"] != other["loss"]
    curve = kept.store.curve(average.run_id)
    assert [row["loss"] for row in curve] == [row["loss"] for row in plain.store.curve(longer.run_id)]
    assert all(float(row["loss_ema"]) > 0 for row in curve)
    assert export.row(average, other)["loss_ema"] == other["loss_ema"]
    assert export.row(longer, record)["loss_ema"] is None
    kept.store.write_record(average.run_id, other)
    export.write_curves(kept.store, [average], tmp_path / "curves.csv")
    header, *lines = (tmp_path / "curves.csv").read_text().splitlines()
    assert header.endswith(",loss,loss_ema") and lines[-1].endswith(curve[-1]["loss_ema"])


@pytest.mark.parametrize("optimizer", ["muon", "schedule-free", "walk"])
def test_a_run_resumed_is_the_run_left_alone_and_its_weights_are_those_scored(
    tmp_path, config, walk, optimizer
):
    more = {} if optimizer == "schedule-free" else {"optim__ema": 0.9}
    if optimizer == "walk":
        optimizer, more = walk, more | {"optim__settings": {"momentum": 0.9}}
    config = of(change(config, tokens=60 * 128), optimizer, **more)
    corpus = open_corpus(config.data.corpus)
    alone = trainer_in(tmp_path / "alone")
    record = trained(alone, config, corpus)
    part = trainer_in(tmp_path / "part", stopping=stopping_after(3))
    assert trained(part, config, corpus) is None
    again = trained(trainer_in(tmp_path / "part"), config, corpus)
    part.store.write_record(config.run_id, again)
    assert {k: record.get(k) for k in ("loss", "loss_ema")} == {k: again.get(k) for k in ("loss", "loss_ema")}
    assert without_times(part.store, config) == without_times(alone.store, config)
    read = weights.read(Store(tmp_path / "part"), config.run_id)
    windows = Evaluator.from_corpus(corpus, config.model.seq_len)
    nats_W = windows.nats(lambda *given: window_nats(config.model, *given), read.params)
    assert windows.loss(nats_W)[0] == pytest.approx(record["loss"], rel=1e-6)


# --- what is refused ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("optim", "words"),
    [
        ({"optimizer": "moun"}, "is none of 'adamw', 'sgd', .*; did you mean 'muon'?"),
        ({"optimizer": "sgd", "beta1": 0.5}, "beta1=0.5 means nothing for optimizer='sgd'; leave it at 0.9"),
        ({"optimizer": "lion", "eps": 1e-6}, "eps=1e-06 means nothing for optimizer='lion'"),
        ({"momentum": 0.9}, "momentum=0.9 means nothing for optimizer='adamw'; leave it at 0.95"),
        ({"settings": {"a": 1}}, "optimizer='adamw' is told by optim.beta1, optim.beta2, optim.eps$"),
        (
            {"optimizer": "muon", "settings": {"momentum": 0.9}},
            "settings=.* are those of an optimiser of one's own file; .*'muon' is told by .*optim.momentum",
        ),
        ({"optimizer": "sgd", "settings": {"a": 1}}, "told by the fields that all have, such as optim.clip"),
        ({"optimizer": "schedule-free"}, "schedule='cosine' must be 'constant'"),
        (
            {"optimizer": "schedule-free", "schedule": "constant", "ema": 0.9},
            "averages weights in the place of a falling rate: ema=0.9 must be 0.0",
        ),
        ({"ema": 1.0}, "ema=1.0 must be at least 0 and below 1; 0 means none"),
    ],
)
def test_what_an_optimiser_would_ignore_is_refused(optim, words):
    with pytest.raises(ValueError, match=words):
        OptimConfig(learning_rate=0.1, **optim)


@pytest.mark.parametrize(
    ("code", "settings", "words"),
    [
        (WALK, {}, "missing a required argument: 'momentum'; optim.settings says them"),
        (WALK, {"momentum": 0.9, "slope": 1}, "unexpected keyword argument 'slope'"),
        (WALK.replace("def walk", "def run"), {"momentum": 0.9}, "has no 'walk'"),
        (
            WALK.replace("return optax.chain", "optax.chain"),
            {"momentum": 0.9},
            "gives None, which is no optax",
        ),
        (
            WALK.replace("optax.scale_by_sign()", "optax.scale(-1.0)"),
            {"momentum": 0.9},
            "points down the loss: leave out optax's scale_by_learning_rate",
        ),
    ],
)
def test_an_own_optimiser_that_can_not_be_used_is_refused_before_it_trains(
    config, walk, code, settings, words
):
    userfile.FOLDERS[0].joinpath("walk.py").write_text(code)
    config = of(config, walk, optim__settings=settings)
    with pytest.raises(ValueError, match=re.escape(words)):
        optimizers.check(config.model, config.optim)


def test_the_first_update_of_an_own_optimiser_is_asked_for_as_one_program(config, walk):
    """Outside of a program each of its operations would be compiled by itself, half a minute in all."""
    code = WALK.replace("optax.scale_by_sign()", "optax.stateless(signs)")
    code += "\nimport jax\n\ndef signs(updates, params=None):\n"
    code += (
        "    assert all(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves((updates, params)))\n"
    )
    code += "    return updates\n"
    userfile.FOLDERS[0].joinpath("walk.py").write_text(code)
    config = of(config, walk, optim__settings={"momentum": 0.5})
    optimizers.check(config.model, config.optim)


def test_an_own_optimiser_that_is_well_passes_and_one_with_a_family_says_it(config, walk):
    config = of(config, walk, optim__settings={"momentum": 0.5})
    optimizers.check(config.model, config.optim)
    assert optimizers.find(config.optim).family == "adamw"
    code = "from lab.train.optimizers import Optimizer\nimport optax\n"
    code += "walk = Optimizer(lambda model, optim: optax.identity(), family='sgd')\n"
    userfile.FOLDERS[0].joinpath("walk.py").write_text(code)
    plain = of(replace(config, optim=replace(config.optim, settings="")), "walk.py:walk")
    optimizers.check(plain.model, plain.optim)
    assert optimizers.find(plain.optim).family == "sgd"
    assert jnp.isfinite(step.learning_rate(plain.optim, 0, plain.hyper))
