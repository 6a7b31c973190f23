"""A model of the user's own trains as by hand, is counted off its program, and is refused by name."""

import sys
from dataclasses import replace
from textwrap import dedent
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lab.config import DataConfig, ModelConfig, OptimConfig, RunConfig, userfile
from lab.models import check, counts, own, programs, tree
from lab.models.settings import settings
from lab.train import parallel, step
from tests.test_extend import FILES

PLAIN = """
import jax
import jax.numpy as jnp


def init(cfg, key):
    D, V, L = cfg.d_model, cfg.vocab_size, cfg.seq_len
    names = {"table": (V, D), "position": (L, D), "q": (D, D), "k": (D, D), "v": (D, D), "o": (D, D)}
    names |= {"up": (D, 4 * D), "down": (4 * D, D), "bias": (4 * D,)} | ({} if TIED else {"out": (D, V)})
    keys = jax.random.split(key, len(names))
    return {n: jax.random.normal(k, s) * D**-0.5 for (n, s), k in zip(sorted(names.items()), keys)}


def apply(cfg, p, tokens):
    x = p["table"][tokens] + p["position"]
    q, k, v = (x @ p[name] for name in "qkv")
    seen = jnp.tril(jnp.ones((cfg.seq_len, cfg.seq_len), bool))
    scores = jnp.where(seen, jnp.einsum("bld,bmd->blm", q, k) * cfg.d_model**-0.5, -1e9)
    x = x + jax.nn.softmax(scores) @ v @ p["o"]
    x = x + jax.nn.relu(x @ p["up"] + p["bias"]) @ p["down"]
    return x @ (p["table"].T if TIED else p["out"])


class Net:
    init, apply = init, apply
"""
SHAPE = {"d_model": 16, "n_layer": 1, "n_head": 1, "vocab_size": 16, "seq_len": 12}


@pytest.fixture
def brought(tmp_path, monkeypatch):
    """A config of the code given, from a file of its own."""
    monkeypatch.setattr(userfile, "NAMED", {})
    monkeypatch.setattr(sys, "path", [*sys.path])

    def config(code, **fields):
        path = tmp_path / f"net{len(list(tmp_path.iterdir()))}.py"
        path.write_text(dedent(code))
        return ModelConfig(kind=f"{path}:Net", **(SHAPE | fields))

    return config


CODES = {"plain": PLAIN.replace("TIED", "False"), "nnx": FILES["block.py"], "linen": FILES["linen_net.py"]}


def run_of(model, **optim):
    return RunConfig(
        model=model,
        optim=OptimConfig(learning_rate=0.01, schedule="constant", warmup_fraction=0.0, **optim),
        data=DataConfig(sha256="0" * 64, corpus="random"),
        tokens=100 * 8 * model.seq_len,
        batch_tokens=8 * model.seq_len,
        micro_batch=8,
    )


@pytest.mark.parametrize("code", CODES)
def test_its_losses_are_those_of_its_own_loop(code, brought):
    config = run_of(brought(CODES[code]), clip=0.0, weight_decay=0.0)
    cfg, (S, B, L1) = config.model, config.shape.dispatch
    tokens = np.random.default_rng(0).integers(0, 16, (100, B, L1), np.int32) // 2
    program = parallel.compile_step(config.shape)
    state, losses = program.place(step.initial_state(config)), []
    for i in range(100):
        part = np.zeros((1, S, B, L1), np.int32)
        part[0, 0] = tokens[i]
        state, metrics = program.step(state, part, np.int32(1))
        losses.append(float(metrics["loss"][0]))

    model = own.own_model(cfg)  # from here on by hand
    params, adam = model.init(cfg, jax.random.key(config.seed)), optax.adam(0.01, b2=0.99)
    moments = adam.init(params)

    @jax.jit
    def update(params, moments, tokens):
        def loss(p):
            logits = model.apply(cfg, p, tokens[:, :-1])
            return optax.softmax_cross_entropy_with_integer_labels(logits, tokens[:, 1:]).mean()

        nats, grads = jax.value_and_grad(loss)(params)
        updates, moments = adam.update(grads, moments)
        return optax.apply_updates(params, updates), moments, nats

    for i in range(100):
        params, moments, nats = update(params, moments, tokens[i])
        assert losses[i] == pytest.approx(float(nats), abs=1e-5), i
    assert losses[-1] < losses[0] - 0.1


@pytest.mark.parametrize("code", CODES)
def test_a_foreign_transformer_costs_what_the_compiler_says(code, brought):
    cfg = brought(CODES[code], d_model=256, n_head=1 if code == "plain" else 4, vocab_size=256, seq_len=128)
    assert abs(programs.compiler_gap(cfg)) < 1e-3
    hidden, keys = 12 * 256**2, 129 / 2
    assert counts.flops_exact(cfg) == 6 * (hidden + 256 * 256) + 12 * 256 * keys


def test_a_foreign_transformer_and_its_ladder_take_thirty_lines():
    written = lambda code: sum(bool(line.strip()) and line[0] != "#" for line in code.splitlines())  # noqa: E731
    for name in ("block.py", "linen_net.py"):
        assert written(FILES[name]) + written(FILES["ladder.py"]) <= 30, name


@pytest.mark.parametrize("tied", [True, False])
def test_roles_and_counts_follow_from_the_program_even_where_all_widths_are_one(brought, tied):
    cfg = brought(PLAIN.replace("TIED", str(tied)), seq_len=16)  # as wide as the vocabulary, too
    roles = {weight.path[0]: weight.role for weight in tree.describe(cfg)}
    expected = {"table": "embed", "position": "embed", "bias": "gain", "up": "hidden", "down": "hidden"}
    expected |= dict.fromkeys("qkvo", "hidden") | ({} if tied else {"out": "readout"})
    assert roles == expected
    found = counts.count_params(cfg)
    assert (found.readout, found.hidden) == (256, 4 * 256 + 2 * 1024 + 64)
    assert (found.embed, found.total - found.params) == (256 + 256 * (not tied),) * 2


def test_gains_stacked_for_a_scan_are_no_table_where_the_width_is_the_context():
    uses = SimpleNamespace(looked_up=(), multiplied=(), last=())
    cfg = SimpleNamespace(vocab_size=99, seq_len=64)
    assert own.role_of(0, (3, 64), uses, cfg) == "gain"
    assert own.role_of(0, (64, 32), uses, cfg) == own.role_of(0, (64, 64), uses, cfg) == "embed"


def test_a_declared_role_goes_before_and_mup_scales_by_it(brought):
    code = CODES["plain"] + "\n    roles = {'o': 'readout'}\n"
    cfg = brought(code, d_model=256)
    assert {w.path[0]: w.role for w in tree.describe(cfg)}["o"] == "readout"
    standard, mup = (
        tree.init(replace(cfg, parameterization=p), jax.random.key(0)) for p in ("standard", "mup")
    )
    for name, factor in {"o": 2, "out": 2, "table": 2, "q": 1, "bias": 1}.items():
        np.testing.assert_allclose(mup[name], factor * standard[name], rtol=1e-6)
    x = np.arange(12)[None]
    scaled = tree.apply(replace(cfg, parameterization="mup"), standard, x)
    np.testing.assert_allclose(scaled, tree.apply(cfg, standard, x) / 4, rtol=1e-5)


def test_what_it_adds_to_the_loss_is_trained_and_not_told(brought):
    more = "def more(cfg, p, t):\n    return apply(cfg, p, t), 3 * (p['bias'] ** 2).sum()\n\n\n"
    code = CODES["plain"].replace("class Net:", more + "class Net:")
    cfg = brought(code.replace("init, apply = init, apply", "init, apply = init, more"))
    plain, shape = brought(CODES["plain"]), run_of(cfg).shape
    params = tree.init(cfg, jax.random.key(0))
    tokens = jnp.arange(26).reshape(2, 13) % 16
    loss, grads = step.loss_and_grads(shape, params, tokens)
    alone, without = step.loss_and_grads(run_of(plain).shape, params, tokens)
    assert float(loss) == pytest.approx(float(alone), rel=1e-6)
    np.testing.assert_allclose(grads["bias"], without["bias"] + 6 * params["bias"], rtol=1e-4)
    np.testing.assert_allclose(grads["q"], without["q"], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("code", CODES)
def test_a_good_model_passes_the_check(brought, code):
    told = check.check(brought(CODES[code]))
    assert "FLOPs within" in told and "readout" in told


def changed(old, new, code="plain"):
    assert old in CODES[code]
    return CODES[code].replace(old, new)


BAD = {
    "gives (1, 12, 17) of token ids (1, 12); logits are (B, L, V) = (1, 12, 16)": changed(
        'x @ (p["table"].T if False else p["out"])', 'jnp.pad(x @ p["out"], ((0, 0), (0, 0), (0, 1)))'
    ),
    "on change the logits at position": changed("jnp.where(seen, ", "jnp.where(True, "),
    "reads the future: other tokens from position": changed(
        "return x @", "x = x.at[:, :-1].add(jnp.where(tokens[:, 1:, None] == 7, 1e-4, 0))\n    return x @"
    ),  # a little, and of one token alone
    "mixes the sequences of a batch": changed("x = x + jax.nn.softmax", "x = x - x.mean(0) + jax.nn.softmax"),
    "has weights without gradient, which no loss would train: bias": changed(' + p["bias"]', ""),
    "a while loop with products in it": changed(
        "q, k, v = (x",
        'x = jax.lax.while_loop(lambda x: x.sum() < 0, lambda x: x @ p["q"], x)\n    q, k, v = (x',
    ),
    "pure_callback: FLOPs of code that is not jax's": changed(
        " = (x @ p[name] for name", " = (jax.pure_callback(lambda a, b: a @ b, x, x, p[name]) for name"
    ),
    "keeps more than weights (drop)": changed(
        "self.readout = ", "self.drop = nnx.Dropout(0.1, rngs=rngs)\n        self.readout = ", "nnx"
    ),
    "checkpoints keep nested dicts": changed("return {n: jax", "return {i: jax")
    .replace("for (n, s), k in zip(", "for i, ((n, s), k) in enumerate(zip(")
    .replace("keys)}", "keys))}"),
    "is float16; weights are float32": changed("* D**-0.5", "* jnp.float16(0.1)").replace(
        "jax.random.normal(k, s)", "jax.random.normal(k, s, jnp.float16)"
    ),
    "is neither an nnx module nor something with init": "Net = 3",
    "'head' in its roles is none of embed": CODES["plain"] + "\n    roles = {'q': 'head'}\n",
}


@pytest.mark.parametrize("words", BAD)
def test_a_model_that_is_none_is_refused_by_name(brought, words):
    with pytest.raises(ValueError, match=r"net\d\.py:Net") as error:
        check.check(brought(BAD[words]))
    assert words in str(error.value)


def test_flops_that_the_compiler_does_not_see_are_refused(brought, monkeypatch):
    cfg = brought(CODES["plain"])
    monkeypatch.setattr(programs, "compiler_gap", lambda cfg: -0.25)
    with pytest.raises(ValueError, match=r"FLOPs off its traced program are -25.0 % from the compiler's"):
        check.check(cfg)


SETTINGS = """
from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    width: int = 2
    slope: float = 0.5
    open: bool = False


"""


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"wide": 3}, "wide=3, and it has width, slope, open"),
        ({"width": 3.0}, "width=3.0 is written 3"),
        ({"slope": 1}, "slope=1 is written 1.0"),
        ({"width": 2}, "width=2 is what it is anyway: leave it out"),
        ({"width": "3"}, "width='3' should be a whole number"),
    ],
)
def test_settings_are_those_of_its_kind_written_in_one_way(brought, given, words):
    code = SETTINGS + CODES["plain"] + "\n    Settings = Settings\n"
    with pytest.raises(ValueError, match=words):
        counts.count_params(brought(code, settings=given))


def test_settings_given_as_a_dict_a_dataclass_or_text_are_one_run(brought):
    namespace: dict = {"__name__": __name__}
    exec(SETTINGS, namespace)
    Settings = namespace["Settings"]
    code = SETTINGS + CODES["plain"] + "\n    Settings = Settings\n"
    first = brought(code, settings={"slope": 0.25, "width": 3})
    ways = [Settings(width=3, slope=0.25), '{"width": 3, "slope": 0.25}', first.settings]
    assert {replace(first, settings=way) for way in ways} == {first}
    assert replace(first, settings=Settings()) == replace(first, settings={}) == replace(first, settings="")
    read = settings(first, Settings)
    assert (read.width, read.slope, read.open) == (3, 0.25, False)


@pytest.mark.parametrize(("name", "value"), [("dtype", "bfloat16"), ("tied", True), ("remat", True)])
def test_a_shared_field_that_it_does_not_say_it_heeds_is_refused(brought, name, value):
    fields = {name: value}
    with pytest.raises(ValueError, match=f"does not say that it heeds it: give it `uses = \\('{name}',\\)`"):
        counts.count_params(brought(CODES["plain"], **fields))
    counts.count_params(brought(CODES["plain"] + f"\n    uses = ('{name}',)\n", **fields))


def test_a_field_of_other_kinds_is_refused(brought):
    with pytest.raises(ValueError, match=r"norm='layernorm' means nothing .* is told its own in settings"):
        brought(CODES["plain"], norm="layernorm")
