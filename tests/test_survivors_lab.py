"""Truths that mutations of `lab` once got past: each test fails for a mutant that all others passed."""

import os
import shutil
from math import sqrt

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from lab.config import ModelConfig
from lab.data.batches import windows_of
from lab.data.byte_pairs import Bpe, bpe_size
from lab.data.tokenizer import id_dtype
from lab.models import attention, counts, ops, tree
from lab.store import export
from lab.store.claims import claim_path
from lab.store.files import sealed, write_json
from lab.store.store import Store
from lab.train.checkpoint import Checkpoints, first_line
from tests.conftest import change
from tests.test_model import noisy

# --- the scale at which every weight starts ------------------------------------------------------

D, F, LAYERS = 96, 160, 3
SHRINK = (2 * LAYERS) ** -0.5  # of what is added to the stream
STARTS = {  # name: (role's group, fan_in, more), or the constant at which a vector starts
    "embed_VD": ("table", D, 1),
    "position_LD": ("table", D, 1),
    "readout_DV": ("table", D, 1),
    "w_q_DHK": ("matrix", D, 1),
    "w_k_DHK": ("matrix", D, 1),
    "w_v_DHK": ("matrix", D, 1),
    "w_o_HKD": ("matrix", D, SHRINK),
    "w_up_DF": ("matrix", D, 1),
    "w_gate_DF": ("matrix", D, 1),
    "w_down_FD": ("matrix", F, SHRINK),
    "w_x_DG": ("matrix", D, 1),
    "w_h_DG": ("matrix", D, 1),
    "gain_D": 1.0,
    "bias_D": 0.0,
    "bias_f_D": 1.0,
    "bias_iog_3D": 0.0,
    "bias_rzn_3D": 0.0,
    "bias_h_D": 0.0,
}
MODELS = [
    {"d_ff": F},
    {"d_ff": F, "norm": "layernorm", "position": "learned", "activation": "gelu"},
    {"n_head": 1, "kind": "lstm"},
    {"n_head": 1, "kind": "gru"},
]


@pytest.mark.parametrize("fields", MODELS, ids=str)
@pytest.mark.parametrize("parameterization", ["standard", "mup"])
def test_every_weight_starts_at_one_over_the_root_of_its_fan_in(fields, parameterization):
    """Under muP tables start at that of width 64 whatever the width (docs/parameterization.md)."""
    shape = {"d_model": D, "n_layer": LAYERS, "n_head": 4, "vocab_size": 301, "seq_len": 64} | fields
    cfg = ModelConfig(**shape, parameterization=parameterization)
    leaves = jax.tree_util.tree_leaves_with_path(tree.init(cfg, jax.random.key(0)))
    assert leaves
    for path, leaf in leaves:
        start = STARTS[path[-1].key]
        if isinstance(start, float):
            assert (leaf == start).all(), path
            continue
        group, fan_in, more = start
        std = more * (fan_in if (group, parameterization) != ("table", "mup") else 64) ** -0.5
        error = 5 / sqrt(2 * leaf.size)  # five standard errors of a standard deviation
        assert float(leaf.std()) == pytest.approx(std, rel=error), path
        assert abs(float(leaf.mean())) < 5 * std / sqrt(leaf.size), path


def test_numbers_above_zero_start_weights_above_their_means():
    """A seed's weights are what they have always been, to the sign."""
    cfg = ModelConfig(d_model=16, n_layer=1, n_head=2, vocab_size=7, seq_len=8)
    for weight, leaf in zip(
        tree.describe(cfg), jax.tree.leaves(tree.from_normal(cfg, np.ones(tree.n_weights(cfg)))), strict=True
    ):
        np.testing.assert_allclose(leaf, weight.mean + weight.std)
        assert (weight.std > 0) == (weight.role != "gain")


# --- where bfloat16 rounds -----------------------------------------------------------------------


def to_bfloat16(x):
    return np.asarray(x).astype(ml_dtypes.bfloat16).astype(np.float64)


def between_steps(*shape, seed=0):
    """Numbers that bfloat16 must round: 1 to 2, and a little beside its steps of 1/128."""
    rng = np.random.default_rng(seed)
    return 1 + rng.integers(0, 128, shape) / 128 + rng.choice([-1, 1], shape) / 512


@pytest.mark.parametrize(("D", "F"), [(4, 6), (6, 4)])
def test_a_products_inputs_and_its_gradient_are_rounded_to_bfloat16_and_no_sum_is(D, F):
    """All sums are of few numbers with few digits, so that float32 holds them exactly."""
    x, w, g = between_steps(3, D), between_steps(D, F, seed=1), between_steps(3, F, seed=2)
    ours, back = jax.vjp(lambda x, w: ops.matmul(x, w, "bfloat16"), jnp.float32(x), jnp.float32(w))
    to_x, to_w = back(jnp.float32(g))
    x, w, g = map(to_bfloat16, (x, w, g))
    np.testing.assert_array_equal(ours, x @ w)
    np.testing.assert_array_equal(to_x, g @ w.T)
    np.testing.assert_array_equal(to_w, x.T @ g)


def attention_by_hand(q, k, v, g, scale):
    """One head (L, K): its output, and the gradients of g · output, with products of numbers in
    bfloat16 and all else exact."""
    seen = np.tril(np.ones((len(q), len(q)), bool))
    scaled, k, v = map(to_bfloat16, (scale * q, k, v))
    scores = np.where(seen, scaled @ k.T, -np.inf)
    p = np.exp(scores - scores.max(1, keepdims=True))
    p = to_bfloat16((p / p.sum(1, keepdims=True)).astype(np.float32))
    out = p @ v
    mean = (g * out).sum(1, keepdims=True)
    g = to_bfloat16(g)
    to_s = to_bfloat16((p * (g @ v.T - mean)).astype(np.float32))
    return out, (to_s @ k, to_s.T @ scaled, p.T @ g)


@pytest.mark.parametrize("same", [True, False])
def test_attention_rounds_its_probabilities_and_its_scores_gradient_to_bfloat16(same):
    """Where all keys get equal shares the whole is exact: 1/3 becomes 0.33398. Gradients are rounded once
    more where the inputs were, or not, where the compiler keeps the digits (XLA does on CPUs with AMX)."""
    q, k, v, g = (between_steps(6, 4, seed=seed) for seed in range(4))
    q = 0 * q if same else q
    arrays = [jnp.float32(t)[None, :, None] for t in (q, k, v)]  # (B, L, H, K)
    ours, back = jax.vjp(lambda *t: attention.attend(*t, 0.25, "bfloat16"), *arrays)
    expected, slopes = attention_by_hand(q, k, v, g, 0.25)
    np.testing.assert_allclose(ours[0, :, 0], expected, rtol=2e-6, atol=2e-6)
    found = [np.asarray(t[0, :, 0]) for t in back(jnp.float32(g)[None, :, None])]
    found[0] = found[0] / 0.25
    for one, other in zip(found, slopes, strict=True):
        rounded = to_bfloat16(other.astype(np.float32))
        assert any(np.allclose(one, each, rtol=2e-6, atol=2e-6) for each in (rounded, other))


# --- bytes, claims, checkpoints ------------------------------------------------------------------


def test_an_id_counts_all_its_bytes_however_many():
    merges = [(97, 97)]  # aa, then twice as many each time, to 64
    merges += [(256 + i, 256 + i) for i in range(5)]
    pairs = Bpe(tuple(merges))
    assert pairs.bytes_per_token[:256].tolist() == [1] * 256
    assert pairs.bytes_per_token[256:].tolist() == [2, 4, 8, 16, 32, 64]
    assert pairs.decode(np.array([261, 98])) == "a" * 64 + "b"


def test_a_process_that_lives_under_a_dead_holders_number_holds_nothing(tmp_path, config):
    store = Store(tmp_path / "runs")
    claim = store.claim(config)
    assert claim.content["pid"] == os.getpid() and store.status(config.run_id) == "running"
    other = claim.content | {"started": "1"}  # this process's number, of an earlier process
    write_json(claim_path(claim.folder, claim.number), sealed(other))
    assert store.status(config.run_id) == "stopped"
    assert store.claim(config).held()


def test_a_whole_manifest_beside_other_arrays_is_refused(tmp_path):
    """Both were saved at update 20, whole: the checksums of the arrays alone tell them apart."""
    states = [{"weights": np.full(6, fill, np.float32), "step": np.int32(20)} for fill in (1, 2)]
    folders = [tmp_path / name / "checkpoints" for name in ("mine", "other")]
    for folder, state in zip(folders, states, strict=True):
        kept = Checkpoints(folder)
        kept.save(20, state, "curve")
        kept.wait()
        kept.close()
    mine, other = (folder / "20" / "state" for folder in folders)
    shutil.rmtree(mine)
    shutil.copytree(other, mine)
    found = Checkpoints(folders[0])
    with pytest.raises(ValueError, match="array 0001 does not match its checksum"):
        found.read(20, states[0])
    restored = found.restore(states[0])
    assert restored.step == 0 and "does not match its checksum" in restored.warnings[0]


@pytest.mark.parametrize(
    ("seed", "n_train", "seq_len", "unique_tokens", "windows"),
    [
        (0, 129, 8, None, [6, 3, 8, 2, 13, 15, 5, 14, 9, 11, 0, 12, 4, 1, 10, 7, 14, 4, 7, 9]),
        (7, 129, 8, None, [9, 13, 4, 8, 15, 14, 12, 10, 3, 2, 1, 6, 5, 7, 11, 0, 0, 10, 13, 8]),
        (123_456_789, 10**7, 64, None, [87436, 92523, 47149, 57889, 95251, 150220]),
        (3, 1000, 10, 300, [80, 75, 49, 82, 18, 79, 43, 15]),
    ],
)
def test_a_seed_s_order_of_the_data_is_what_it_has_always_been(
    seed, n_train, seq_len, unique_tokens, windows
):
    """A stopped run goes on with it, and the numbers of all tables were made in it."""
    assert windows_of(np.arange(len(windows)), seed, n_train, seq_len, unique_tokens).tolist() == windows


# --- bounds and estimates ------------------------------------------------------------------------


def test_ids_take_the_fewest_bytes_that_hold_them_and_byte_pairs_are_a_million_at_most():
    sizes = {256: 1, 257: 2, 65_536: 2, 65_537: 4}
    assert {size: id_dtype(size).itemsize for size in sizes} == sizes
    assert (bpe_size("bpe-257"), bpe_size("bpe-1048576")) == (257, 1_048_576)
    for refused in ("bpe-256", "bpe-1048577"):
        with pytest.raises(ValueError, match="257 to 1048576"):
            bpe_size(refused)


def test_a_weight_costs_sixteen_bytes_and_an_activation_four(config):
    """The weight, its gradient and two moments; activations of a micro-batch, however large the batch."""
    wide = change(config, model__d_model=512, model__n_layer=4, batch_tokens=64, micro_batch=1)
    total = counts.count_params(wide.model).total
    assert 16 * total < counts.run_bytes(wide) < 17 * total
    sizes = [counts.run_bytes(change(config, batch_tokens=16 * batch)) for batch in (8, 16, 24)]
    assert sizes[2] - sizes[1] == sizes[1] - sizes[0] > 0
    assert counts.run_bytes(change(config, batch_tokens=16 * 24, micro_batch=8)) == sizes[0]
    each = 4 * 8 * 16 * 3 * config.model.vocab_size  # logits, their exponents and their gradient
    assert sizes[1] - sizes[0] > each


def test_a_branch_that_diverged_inside_its_trunk_spent_nothing(config):
    branch = change(config, init_from="0123456789ab@20")
    record = {"status": "diverged", "steps": 12, "loss": None, "init_from": branch.init_from}
    row = export.row(branch, record)
    assert row["flops_spent"] == 0 and row["flops"] == counts.flops_exact(branch.model) * 12 * 128
    row = export.row(branch, record | {"steps": 32})
    assert row["flops_spent"] == counts.flops_exact(branch.model) * 12 * 128


def test_an_error_is_told_by_its_first_line():
    assert first_line(ValueError("\n what went wrong\n  at line 7\n")) == "what went wrong"
    assert first_line(KeyError()) == "KeyError"


# --- the whole Transformer, by its formulas ------------------------------------------------------


def norm_by_hand(cfg, w, x):
    if cfg.norm == "layernorm":
        x = x - x.mean(-1, keepdims=True)
    x = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5) * w["gain_D"]
    return x + w["bias_D"] if cfg.norm == "layernorm" else x


def turn_by_hand(x_LK):
    """Pair k of a head, as a complex number, turns by 10,000^(-2 k / K) a position."""
    K = x_LK.shape[1]
    angle = np.arange(len(x_LK))[:, None] * 10_000.0 ** (-2 * np.arange(K // 2) / K)
    turned = (x_LK[:, : K // 2] + 1j * x_LK[:, K // 2 :]) * np.exp(1j * angle)
    return np.concatenate([turned.real, turned.imag], 1)


def attend_by_hand(cfg, w, x):
    heads, seen = 0, np.tril(np.ones((len(x), len(x)), bool))
    for head in range(cfg.n_head):
        q, k, v = (x @ w[f"w_{name}_DHK"][:, head] for name in "qkv")
        if cfg.position == "rope":
            q, k = turn_by_hand(q), turn_by_hand(k)
        scale = cfg.d_head**-0.5 if cfg.parameterization == "standard" else 4 / cfg.d_head
        p = np.where(seen, np.exp(scale * q @ k.T), 0)
        heads = heads + p / p.sum(1, keepdims=True) @ v @ w["w_o_HKD"][head]
    return heads


def feed_forward_by_hand(cfg, w, x):
    up = x @ w["w_up_DF"]
    if cfg.activation == "swiglu":
        gate = x @ w["w_gate_DF"]
        return up * gate / (1 + np.exp(-gate)) @ w["w_down_FD"]
    return up / 2 * (1 + np.tanh(sqrt(2 / np.pi) * (up + 0.044715 * up**3))) @ w["w_down_FD"]


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("parameterization", ["standard", "mup"])
@pytest.mark.parametrize("fields", MODELS[:2], ids=str)
def test_a_transformers_logits_are_those_of_its_formulas(fields, parameterization, tied):
    shape = {"d_model": 32, "n_layer": 2, "n_head": 2, "vocab_size": 11, "seq_len": 8} | fields
    cfg = ModelConfig(**shape, parameterization=parameterization, tied=tied)
    params, tokens = noisy(cfg), np.array([3, 1, 4, 1, 5, 9, 2])
    w = jax.tree.map(lambda leaf: np.asarray(leaf, float), params)
    x = w["embed_VD"][tokens]
    if cfg.position == "learned":
        x = x + w["position_LD"][: len(tokens)]
    for block in (w["block_00"], w["block_01"]):
        x = x + attend_by_hand(cfg, block["attention"], norm_by_hand(cfg, block["norm1"], x))
        x = x + feed_forward_by_hand(cfg, block["ffn"], norm_by_hand(cfg, block["norm2"], x))
    scale = 64 / cfg.d_model if parameterization == "mup" else 1
    logits = scale * norm_by_hand(cfg, w["norm"], x) @ (w["embed_VD"].T if tied else w["readout_DV"])
    np.testing.assert_allclose(tree.apply(cfg, params, tokens[None])[0], logits, rtol=2e-4, atol=2e-4)
