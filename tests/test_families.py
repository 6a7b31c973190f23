"""Kinds of models and their settings: each number as it is by hand, on every way of training."""

import json
import math
import os
import re
from dataclasses import replace
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab.config import ModelConfig
from lab.data.batches import shift
from lab.models import attention, check, counts, hgrn, mixer, moe, programs, tree
from lab.models.settings import settings
from lab.models.target import Target
from lab.train import objectives, parallel, step
from lab.trained import compress, noise, positions
from lab.trained.sample import sample
from tests.test_model import noisy
from tests.test_own_models import PLAIN, SHAPE, run_of
from tests.test_parallel import said, start

# `make test-faults`: by every family what else some do for all
EVERY_WAY = bool(os.environ.get("EVERY_WAY"))
FULL = {"kv_heads": 1, "qk_norm": True, "attention_cap": 5.0, "logit_cap": 9.0, "window": 5, "z_loss": 1e-3}
MODELS = {
    "settings": {"settings": FULL | {"token_shift": True, "norms": "sandwich"}},
    "sub": {"settings": {"norms": "sub", "kv_heads": 1}, "activation": "gelu", "norm": "layernorm"},
    "moe": {"kind": "moe", "settings": {"experts": 4}},
    "hgrn": {"kind": "hgrn", "n_head": 1},
    "mixer": {"kind": "mixer", "n_head": 1, "settings": {"expand": 2}},
    "megabyte": {"kind": "megabyte"},
    "bert": {"settings": {"causal": False}, "position": "learned"},
    "prefix": {"settings": {"prefix": True}},
    "encoder_decoder": {"kind": "encoder_decoder", "settings": {"source": 5, "encoder_layers": 2}},
    "moving": {"kind": "encoder_decoder", "settings": {"prefix": True, "encoder_layers": 2}},
}
ENDS = dict.fromkeys(
    ("prefix", "encoder_decoder", "moving"), "prefix"
)  # what those learn that read a beginning whole
SOME = list(MODELS) if EVERY_WAY else ["settings", "moe", "hgrn", "mixer", "megabyte", "moving"]
D, V, L = SHAPE["d_model"], SHAPE["vocab_size"], SHAPE["seq_len"]


def build(name, **more):
    return ModelConfig(**(SHAPE | {"n_head": 2} | MODELS[name] | more))


@pytest.mark.parametrize("name", SOME)
def test_it_is_causal_has_gradients_and_costs_what_the_compiler_says(name):
    assert "FLOPs within" in check.check(build(name))
    assert abs(programs.compiler_gap(build(name, d_model=256))) < 0.02 or name == "hgrn"


def by_hand(name):
    """Weights in products for each token, the readout's left out; what is multiplied for each key; keys."""
    F, K, keys = 8 * -(-D // 3), D // 2, (L + 1) / 2
    attention, ffn = 2 * D * D + 2 * D * K, 3 * D * F
    P, S = 4, D // 2  # a MegaByte's patch, which attends to itself as a whole, and the width inside
    inside = 4 * S * S + 3 * S * 8 * -(-S // 3) + 2 * S * P + 2 * S * D + (S - D) * V
    S, T = 5, L - 4  # tokens that an encoder of two layers reads, and those from which a decoder tells
    block = 4 * D * D + ffn
    both = (2 * S * block + T * (block + 2 * D * D) + S * 2 * D * D - (L - T) * D * V) / L
    own, read = (L + 1) * (L + 2) / 6 + (L - 1) / 2, L * (L + 1) / 2  # pairs of a decoder; of the two others
    return {
        "moving": (3 * block + 4 * D * D, D, (own + 3 * read) / L),
        "prefix": (block, D, (L + 1) * (4 * L - 1) / (6 * L)),
        "encoder_decoder": (both, D, (2 * S * S + T * (T + 1) / 2 + S * T) / L),
        "settings": (attention + ffn, D, (5 * 6 / 2 + (L - 5) * 5) / L),
        "sub": (attention + 8 * D * D, D, keys),
        "moe": (4 * D * D + 4 * D + 2 * ffn, D, keys),
        "hgrn": (4 * D * D + ffn, 0, keys),
        "mixer": (ffn, 2 * D, keys),
        "megabyte": ((4 * D * D + ffn) / P + inside, D / P**2, (L + P) / 2),
        "bert": (4 * D * D + ffn, D, L),
    }[name]


@pytest.mark.parametrize("name", MODELS)
def test_its_flops_are_those_of_its_formula(name):
    matrices, attended, keys = by_hand(name)
    expected = 3 * (2 * matrices + 4 * attended * keys + 2 * D * V)
    assert counts.flops_exact(build(name)) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("name", SOME)
def test_what_it_samples_without_heat_is_the_likeliest_token_of_its_logits(name):
    cfg = build(name)
    params, text = noisy(cfg), [3, 1, 4, 1, 5]
    prefix = np.array([len(text)]) if tree.takes_prefix(cfg) else None  # the prompt
    logits = jax.jit(lambda tokens: tree.apply(cfg, params, tokens, None, prefix))
    for token in sample(cfg, params, np.array(text), 3, temperature=0):
        window = np.zeros((1, L), np.int32)
        window[0, : len(text)] = text
        assert token == int(np.argmax(logits(window)[0, len(text) - 1])), text
        text.append(token)


def test_a_mixer_mixes_positions_by_its_triangles():
    cfg = build("mixer")
    layer, rng = mixer.Mixing(cfg, Target("cpu")), np.random.default_rng(0)
    into, out = rng.normal(size=(2, 2, L * (L + 1) // 2)).astype(np.float32)
    layer.w_in_ET[...], layer.w_out_ET[...] = jnp.asarray(into), jnp.asarray(out)
    x = rng.normal(size=(2, 5, D)).astype(np.float32)  # shorter than the context
    found, expected = layer(jnp.asarray(x)), np.zeros((2, 5, D))
    at = lambda later, earlier: later * (later + 1) // 2 + earlier  # noqa: E731
    for e in range(2):
        h = [sum(into[e, at(m, l)] * x[:, l] for l in range(m + 1)) for m in range(5)]  # noqa: E741
        h = [np.asarray(jax.nn.gelu(each)) for each in h]
        for m in range(5):
            expected[:, m] += sum(out[e, at(m, l)] * h[l] for l in range(m + 1)) / 2  # noqa: E741
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_a_megabyte_sees_its_patch_up_to_a_token_and_all_patches_before():
    cfg = build("megabyte")
    params, text = noisy(cfg), np.arange(L)[None] % V
    logits = jax.jit(lambda tokens: tree.apply(cfg, params, tokens))
    plain = np.asarray(logits(text))
    for place in range(L):
        other = text.copy()
        other[0, place] += 1
        moved = np.abs(np.asarray(logits(other % V)) - plain).max((0, 2)) > 1e-6
        np.testing.assert_array_equal(moved, np.arange(L) >= place)
    short = tree.apply(cfg, params, text[:, : L - 2])  # no whole number of patches
    np.testing.assert_allclose(short, plain[:, : L - 2], rtol=1e-5, atol=1e-5)


def test_attention_to_both_sides_is_asked_for_and_meets_every_key():
    cfg = build("bert")
    params, text = noisy(cfg), np.arange(L)[None] % V
    other = text.copy()
    other[0, -1] += 1
    one, two = (np.asarray(tree.apply(cfg, params, tokens % V)) for tokens in (text, other))
    assert np.abs(one - two).max(-1).min() > 1e-4  # the first position, too
    assert not tree.is_causal(cfg) and tree.is_causal(build("moe"))
    for objective in ("next_token", "prefix", "span_corruption"):
        with pytest.raises(ValueError, match=f"'{objective}' tells tokens that stand later .* it would copy"):
            objectives.check_attention(objective, cfg)
    objectives.check_attention("masked", cfg)


@pytest.mark.parametrize("kind", ["transformer", "moe"])
def test_a_beginning_is_seen_from_both_sides_and_what_follows_from_after_it_alone(kind):
    cfg = build("prefix", kind=kind)
    params, text, prefix = noisy(cfg), np.tile(np.arange(L) % V, (2, 1)), np.array([4, 7])
    logits = jax.jit(lambda tokens: tree.apply(cfg, params, tokens, None, prefix))
    plain = np.asarray(logits(text))
    for place in range(L):
        other = text.copy()
        other[:, place] = (other[:, place] + 1) % V
        moved = np.abs(np.asarray(logits(other)) - plain).max(-1) > 1e-6
        first = np.where(place < prefix, 0, place)
        np.testing.assert_array_equal(moved, np.arange(L) >= first[:, None])
    causal = tree.apply(build("prefix", kind=kind, settings=""), params, text)
    none = jax.jit(lambda tokens, prefix: tree.apply(cfg, params, tokens, None, prefix))
    for prefix in (None, np.array([1, 1])):  # of one token it is a causal model
        np.testing.assert_allclose(none(text, prefix), causal, rtol=1e-4, atol=1e-5)


def test_the_look_at_the_future_finds_one_beyond_the_beginning(monkeypatch):
    cfg, seen = build("prefix"), attention.beginning
    monkeypatch.setattr(attention, "beginning", lambda L, prefix_B: seen(L, prefix_B + 1))
    with pytest.raises(ValueError, match="reads the future"):
        check.check_sequences(cfg, noisy(cfg))


def test_what_is_read_is_seen_from_both_sides_and_what_is_told_sees_all_of_it():
    cfg = build("encoder_decoder", position="learned")
    params, text, S = noisy(cfg), np.arange(L)[None] % V, 5
    logits = jax.jit(lambda tokens: tree.apply(cfg, params, tokens))
    plain = np.asarray(logits(text))
    for place in range(L):
        other = text.copy()
        other[0, place] = (other[0, place] + 1) % V
        moved = np.abs(np.asarray(logits(other)) - plain).max((0, 2)) > 1e-6
        np.testing.assert_array_equal(moved, np.arange(L) >= max(place, S - 1))
    nats, _ = tree.losses(cfg, params, *shift(np.arange(2 * (L + 1)).reshape(2, L + 1) % V))
    assert not nats[:, : S - 1].any() and (nats[:, S - 1 :] > 0).all()
    with pytest.raises(ValueError, match=r"the prompt has 4 tokens, and the encoder .* reads 5"):
        next(sample(cfg, params, np.arange(4), 1))


def test_a_window_parted_anywhere_is_read_and_told_as_one_parted_there_alone():
    moving = build("moving", position="learned", settings={"prefix": True})
    params, text = noisy(moving), np.random.default_rng(0).integers(0, V, (2, L)).astype(np.int32)
    prefix = np.array([3, L])
    found = tree.apply(moving, params, text, None, prefix)
    for row, source in enumerate(prefix):
        there = build("moving", position="learned", settings={"source": int(source)})
        alone = tree.apply(there, params, text[row : row + 1])
        np.testing.assert_allclose(found[row, source - 1 :], alone[0, source - 1 :], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["prefix", "encoder_decoder", "moving"])
def test_the_held_out_loss_is_that_of_the_end_given_the_beginning(name):
    cfg = build(name)
    params, tokens = noisy(cfg), np.random.default_rng(0).integers(0, V, (3, L + 1)).astype(np.int32)
    found = jax.jit(lambda t: step.eval_step(cfg, params, t, np.ones((3, L), np.float32), "prefix"))(tokens)
    told = np.asarray(objectives.examples("prefix", cfg, tokens, objectives.HELD_OUT)[2]) > 0
    prefix = told.argmax(1) + 1
    moves = name != "encoder_decoder"
    assert moves or (prefix == 5).all()
    logits = tree.apply(cfg, params, tokens[:, :-1], None, prefix if moves else None)
    nats = -np.take_along_axis(np.asarray(jax.nn.log_softmax(logits)), tokens[:, 1:, None], -1)[..., 0]
    np.testing.assert_allclose(found, np.where(told, nats, 0).sum(1), rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "objective", "words"),
    [
        ("prefix", "next_token", "tells more than the end of a window"),
        ("prefix", "masked", "tells more than the end of a window"),
        ("encoder_decoder", "next_token", "tells more than the end of a window"),
        ("encoder_decoder", "span_corruption", ""),
        ("late", "span_corruption", "reads 12 before it tells any: give settings={'source': 9}"),
        ("late", "prefix", ""),
        ("prefix", "span_corruption", ""),
    ],
)
def test_a_model_that_reads_a_beginning_is_asked_for_the_end_alone(name, objective, words):
    cfg = build("encoder_decoder", settings={"source": 12}) if name == "late" else build(name)
    if words:
        with pytest.raises(ValueError, match=re.escape(words)):
            objectives.check_attention(objective, cfg)
    else:
        objectives.check_attention(objective, cfg)


def test_an_encoder_reads_what_span_corruption_leaves_unless_it_is_told():
    cfg = build("encoder_decoder", settings="")
    told = objectives.example("span_corruption", cfg, jnp.zeros(L + 1, int), 0)[2]
    assert tree.source(cfg) == 1 + int(np.flatnonzero(told)[0])
    told = objectives.example("prefix", build("encoder_decoder"), jnp.zeros(L + 1, int), 0)[2]
    np.testing.assert_array_equal(told, np.arange(L) >= 4)


def test_what_takes_each_token_after_those_before_it_refuses_an_encoder():
    cfg = build("encoder_decoder")
    run = SimpleNamespace(config=run_of(cfg), params={})
    for ask in (
        lambda: compress.compress(run, None, b"text"),
        lambda: positions.by_position(cfg, {}, None),
        lambda: positions.by_octave(cfg, {}, np.arange(3)),
        lambda: noise.noise_scale(run.config, {}, None),
    ):
        with pytest.raises(ValueError, match="reads 5 tokens of a window before it tells any"):
            ask()


def test_a_mixture_counts_the_experts_that_a_token_is_sent_to_and_stores_the_others_beside():
    dense, one, mixed = (
        build("moe", kind=k, settings=s)
        for k, s in (("transformer", ""), ("moe", {"experts": 1, "top_k": 1}), ("moe", ""))
    )
    sizes = [counts.count_params(cfg) for cfg in (dense, one, mixed)]
    ffn = 3 * D * dense.ffn_width
    assert (sizes[1].hidden - D, sizes[1].idle) == (sizes[0].hidden, 0)
    assert (sizes[2].hidden, sizes[2].idle) == (sizes[0].hidden + 8 * D + ffn, 6 * ffn)
    assert sizes[2].total == sum(weight.size for weight in tree.describe(mixed))


def test_a_mixture_of_one_expert_is_the_dense_model():
    dense, one = (
        build("moe", kind="transformer", settings=""),
        build("moe", settings={"experts": 1, "top_k": 1}),
    )
    params = noisy(one)
    plain = json.loads(json.dumps(jax.tree.map(lambda leaf: np.asarray(leaf).tolist(), params)))
    ffn = plain["block_00"]["ffn"]
    new = {
        f"w_{part}_{axes}": ffn[f"w_{part}_E{axes}"][0]
        for part, axes in (("up", "DF"), ("gate", "DF"), ("down", "FD"))
    }
    plain["block_00"]["ffn"] = new
    plain = jax.tree.map(jnp.float32, plain, is_leaf=lambda leaf: isinstance(leaf, list))
    x = np.arange(2 * L).reshape(2, L) % V
    np.testing.assert_allclose(tree.apply(one, params, x), tree.apply(dense, plain, x), rtol=1e-4, atol=1e-5)


def test_each_token_is_sent_to_its_likeliest_experts_with_gates_that_add_up_to_one():
    cfg = build("moe")
    layer = moe.Experts(cfg, Target("cpu"))
    rng = np.random.default_rng(0)
    names = ("router_DE", "w_up_EDF", "w_gate_EDF", "w_down_EFD")
    weights = {name: rng.normal(size=getattr(layer, name).shape).astype(np.float32) for name in names}
    for name, value in weights.items():
        getattr(layer, name)[...] = jnp.asarray(value)
    x = rng.normal(size=(2, 3, D)).astype(np.float32)
    found, balance = layer(jnp.asarray(x))
    router, up, gate, down = weights.values()
    shares = []
    for b in range(2):
        sent, mean = np.zeros(4), np.zeros(4)
        for t in range(3):
            z = x[b, t] @ router
            p = np.exp(z - z.max()) / np.exp(z - z.max()).sum()
            best = np.argsort(-p)[:2]
            sent[best] += 1 / 6
            mean += p / 3
            silu = lambda z: z / (1 + np.exp(-z))  # noqa: E731
            parts = [(x[b, t] @ up[e] * silu(x[b, t] @ gate[e])) @ down[e] * p[e] for e in best]
            np.testing.assert_allclose(found[b, t], sum(parts) / p[best].sum(), rtol=2e-4, atol=1e-3)
        shares.append(4 * (sent * mean).sum())
    assert float(balance) == pytest.approx(np.mean(shares), rel=1e-5)


def test_the_parallel_scan_is_the_recurrence():
    rng = np.random.default_rng(0)
    keep, new = rng.uniform(size=(2, 7, 3)), rng.normal(size=(2, 7, 3))
    h, states = np.zeros((2, 3)), []
    for l in range(7):  # noqa: E741
        h = keep[:, l] * h + new[:, l]
        states.append(h)
    np.testing.assert_allclose(hgrn.scan(jnp.asarray(keep), jnp.asarray(new)), np.stack(states, 1), rtol=1e-5)


@pytest.mark.parametrize(
    ("window", "cap", "causal"),
    [(0, 0.0, True), (3, 0.0, True), (0, 0.5, True), (2, 0.5, True), (0, 0.0, False)],
)
def test_attention_near_by_is_its_sum(window, cap, causal):
    rng = np.random.default_rng(0)
    q, k, v = rng.normal(size=(3, 1, 6, 2, 4)).astype(np.float32)
    found = attention.attend_near(
        q, k, v, 0.5, "float32", cap, attention.before(6, window) if causal else None
    )
    for at in range(6):
        first, last = max(0, at - window + 1) if window else 0, at if causal else 5
        for head in range(2):
            z = 0.5 * k[0, first : last + 1, head] @ q[0, at, head]
            z = cap * np.tanh(z / cap) if cap else z
            p = np.exp(z) / np.exp(z).sum()
            np.testing.assert_allclose(found[0, at, head], p @ v[0, first : last + 1, head], rtol=1e-5)
    if causal and not (window or cap):
        np.testing.assert_allclose(found, attention.attend(*map(jnp.asarray, (q, k, v)), 0.5), rtol=1e-5)


def test_caps_and_the_z_loss_are_what_they_say():
    cfg = build("settings", settings={"logit_cap": 2.0, "z_loss": 0.5})
    plain = build("settings", settings="")
    params, tokens = noisy(cfg), jnp.arange(2 * (L + 1)).reshape(2, L + 1) % V
    raw = tree.apply(plain, params, tokens[:, :-1])
    logits = tree.apply(cfg, params, tokens[:, :-1])
    np.testing.assert_allclose(logits, 2 * np.tanh(np.asarray(raw) / 2), rtol=1e-4, atol=1e-6)
    nats, extra = tree.losses(cfg, params, *shift(tokens))
    normal = jax.nn.logsumexp(logits, axis=-1)
    assert float(extra) == pytest.approx(0.5 * float((normal**2).mean()), rel=1e-5)
    own = jnp.take_along_axis(logits, tokens[:, 1:, None], -1)[..., 0]
    np.testing.assert_allclose(nats, normal - own, rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "more", "words"),
    [
        ("moe", {"settings": {"top_k": 9}}, "top_k=9 of experts=8"),
        ("moe", {"activation": "gelu"}, "experts are SwiGLU"),
        ("settings", {"settings": {"kv_heads": 3}}, "kv_heads=3 do not share n_head=2"),
        ("settings", {"settings": {"norms": "post"}}, "norms='post' is none of"),
        ("settings", {"settings": {"z_loss": -1.0}}, "none may be negative"),
        ("settings", {"settings": {"experts": 4}}, "experts=4, and it has kv_heads"),
        ("hgrn", {"settings": {"window": 4}}, "window=4, and it has no settings"),
        ("bert", {"settings": {"causal": False, "window": 4}}, "causal=False looks both ways"),
        ("mixer", {"settings": {"expand": 0}}, "expand=0 hidden units a position"),
        ("megabyte", {"settings": {"patch": 5}}, "seq_len=12 is no whole number of patches"),
        ("megabyte", {"settings": {"local_width": 7}}, "inside a patch: d_model=7 does not split"),
        ("prefix", {"settings": {"prefix": True, "window": 4}}, "prefix=True with window=4"),
        ("encoder_decoder", {"settings": {"causal": False}}, "causal and window are of a decoder"),
        ("moving", {"settings": {"prefix": True, "source": 5}}, "source=5 of all windows, and prefix=True"),
        ("encoder_decoder", {"settings": {"source": 13}}, "source=13 tokens of seq_len=12"),
        ("encoder_decoder", {"settings": "", "seq_len": 3}, "seq_len=3 is too short to cut a span out of"),
        ("hgrn", {"n_head": 2}, "n_head=2 means nothing for kind='hgrn', which has no heads or positions"),
    ],
)
def test_settings_that_make_no_sense_are_refused(name, more, words):
    with pytest.raises(ValueError, match=words):
        counts.count_params(build(name, **more))


def test_settings_of_a_kind_are_read_with_its_defaults():
    own = settings(build("moe"), moe.Settings)
    assert (own.experts, own.top_k, own.kv_heads, own.norms) == (4, 2, 0, "pre")


@pytest.mark.parametrize("name", MODELS if EVERY_WAY else ["moe", "hgrn"])
def test_stopped_and_gone_on_with_it_is_the_same_to_the_bit(name):
    config = replace(run_of(build(name)), objective=ENDS.get(name, "next_token"))
    tokens = np.random.default_rng(0).integers(0, V, (1, *config.shape.dispatch), np.int32)
    program = parallel.compile_step(config.shape)
    whole, _ = program.step(program.place(step.initial_state(config)), tokens, np.int32(4))
    half, _ = program.step(program.place(step.initial_state(config)), tokens, np.int32(2))
    kept = jax.tree.map(np.asarray, program.fetch(half))
    again, _ = program.step(program.place(jax.device_put(kept)), np.roll(tokens, -2, axis=1), np.int32(2))
    for one, other in zip(*(jax.tree.leaves(program.fetch(state)) for state in (whole, again)), strict=True):
        np.testing.assert_array_equal(one, other)


WAYS = """
jax.config.update("jax_disable_most_optimizations", True)  # of the time of compiling, most
models = json.loads(sys.argv[1])
found = {}
for name, fields in models.items():
    base = config_of(optimizer="sgd", clip=0.0)
    objective = fields.pop("objective", "next_token")
    config = RunConfig(model=ModelConfig(**fields), optim=base.optim, data=base.data, tokens=16 * 12 * 6,
                       batch_tokens=16 * 12, micro_batch=0, objective=objective)
    tokens = np.random.default_rng(0).integers(0, 16, (6, 16, 13), np.int32) // 2
    losses = {}
    for way, n in (("jit", 1), ("mesh", 4), ("fsdp", 4), ("pmap", 4)):
        if way in ("mesh", "pmap") and name not in sys.argv[2]:
            continue
        compiled = parallel.compile_step(config.shape, way, tuple(jax.devices()[:n]))
        _, metrics = compiled.step(compiled.place(step.initial_state(config)), tokens[None], np.int32(6))
        losses[way] = np.asarray(metrics["loss"])[:6].tolist()
    pack = parallel.compile_step(config.shape, devices=tuple(jax.devices()[:1]), each=2)
    _, metrics = pack.step(pack.place(step.initial_state(config)), np.stack([tokens, tokens]), np.int32(6))
    losses["pack"] = np.asarray(metrics["loss"])[1, :6].tolist()
    found[name] = losses
print(json.dumps(found))
"""


@pytest.mark.slow
def test_every_way_and_a_pack_give_the_same_losses(tmp_path):
    (tmp_path / "net.py").write_text(PLAIN.replace("TIED", "False"))
    models = {
        name: SHAPE | {"n_head": 2} | own | {"objective": ENDS.get(name, "next_token")}
        for name, own in MODELS.items()
        if name not in ("sub", "bert")
    }
    models["own"] = SHAPE | {"kind": f"{tmp_path / 'net.py'}:Net"}
    # mesh and pmap average by fsdp's hand, and these losses have more that can go wrong
    by_all = " ".join(models) if EVERY_WAY else "settings"
    if not EVERY_WAY:
        models = {name: own for name, own in models.items() if name in ("settings", "own")}
    for name, losses in said(start(WAYS, 4, json.dumps(models), by_all)).items():
        one = losses.pop("jit")
        assert one[-1] < one[0] - 0.02 and math.isfinite(one[-1]), name
        for way, others in losses.items():
            assert others == pytest.approx(one, rel=1e-6), (name, way)
