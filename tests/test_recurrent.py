"""What the LSTM and the GRU compute, and that the written-out gradient is the right one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from lab.config import ModelConfig, OptimConfig, Shape
from lab.models import recurrent, tree
from lab.models.target import Target
from lab.train import parallel, step
from tests.test_model import noisy

KINDS = ["lstm", "gru"]
L, B, D = 6, 3, 5


def build(kind, **fields) -> ModelConfig:
    shape = {"d_model": 16, "n_layer": 2, "n_head": 1, "vocab_size": 11, "seq_len": 8}
    return ModelConfig(kind=kind, **(shape | fields))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm_by_hand(x_LBG, w_DG):
    """Gate by gate, a matrix each, as a textbook has it."""
    U_f, U_i, U_o, U_g = np.split(w_DG, 4, axis=1)
    h = c = np.zeros((x_LBG.shape[1], len(w_DG)))
    outputs = []
    for x in x_LBG:
        x_f, x_i, x_o, x_g = np.split(x, 4, axis=1)
        forget, write, read = (sigmoid(a + h @ U) for a, U in ((x_f, U_f), (x_i, U_i), (x_o, U_o)))
        c = forget * c + write * np.tanh(x_g + h @ U_g)
        h = read * np.tanh(c)
        outputs.append(h)
    return np.array(outputs)


def gru_by_hand(x_LBG, w_DG, b_D):
    U_r, U_z, U_n = np.split(w_DG, 3, axis=1)
    h = np.zeros((x_LBG.shape[1], len(w_DG)))
    outputs = []
    for x in x_LBG:
        x_r, x_z, x_n = np.split(x, 3, axis=1)
        reset, keep = sigmoid(x_r + h @ U_r), sigmoid(x_z + h @ U_z)
        new = np.tanh(x_n + reset * (h @ U_n + b_D))
        h = keep * h + (1 - keep) * new
        outputs.append(h)
    return np.array(outputs)


BY_HAND = {"lstm": lstm_by_hand, "gru": gru_by_hand}


def arrays(kind):
    """x, w (and the GRU's b) of one layer."""
    rng, gates = np.random.default_rng(0), {"lstm": 4, "gru": 3}[kind]
    shapes = [(L, B, gates * D), (D, gates * D)] + [(D,)] * (kind == "gru")
    return [rng.normal(size=shape) for shape in shapes]


@pytest.mark.parametrize("kind", KINDS)
def test_outputs_are_those_of_a_loop_in_numpy(kind):
    x, *weights = arrays(kind)
    found = getattr(recurrent, kind)(*(jnp.float32(a) for a in (x, *weights)), "float32")
    np.testing.assert_allclose(found, BY_HAND[kind](x, *weights), atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_is_the_slope_of_that_loop(kind):
    """Differences of the loop in float64, for every number that goes in."""
    inputs = arrays(kind)
    weigh = np.random.default_rng(1).normal(size=(L, B, D))
    scan = getattr(recurrent, kind)
    ours = jax.jit(jax.grad(lambda a: (scan(*a, "float32") * weigh).sum()))([jnp.float32(a) for a in inputs])
    for found, at in zip(ours, inputs, strict=True):
        slopes = np.empty(at.size)
        for i in range(at.size):
            kept, ends = at.flat[i], []
            for shift in (1e-5, -1e-5):
                at.flat[i] = kept + shift
                ends.append((BY_HAND[kind](*inputs) * weigh).sum())
            at.flat[i] = kept
            slopes[i] = (ends[0] - ends[1]) / 2e-5
        np.testing.assert_allclose(found, slopes.reshape(at.shape), atol=2e-4)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_no_position_sees_what_comes_after_it_and_every_one_sees_what_came(kind, tied):
    cfg = build(kind, tied=tied)
    params, tokens = noisy(cfg), jnp.arange(8)[None] % 11
    run = jax.jit(lambda tokens: tree.apply(cfg, params, tokens))
    before, after = run(tokens), run(tokens.at[0, 4].set(9))
    np.testing.assert_array_equal(before[0, :4], after[0, :4])
    assert (jnp.abs(before - after)[0, 4:].max(axis=-1) > 1e-6).all()
    assert before.shape == (1, 8, 11) and before.dtype == jnp.float32


@pytest.mark.parametrize("kind", KINDS)
def test_nats_are_those_of_the_logits(kind):
    cfg = build(kind)
    params, tokens = noisy(cfg), jnp.arange(27).reshape(3, 9) % 11
    logits, nats = jax.jit(lambda p, t: (tree.apply(cfg, p, t[:, :-1]), tree.nats(cfg, p, t)))(params, tokens)
    expected = -jnp.take_along_axis(jax.nn.log_softmax(logits), tokens[:, 1:, None], -1)[..., 0]
    np.testing.assert_allclose(nats, expected, atol=1e-5)


def test_weights_start_as_their_role_says_and_a_forget_gate_starts_open():
    cfg = build("lstm", d_model=256)
    params = tree.init(cfg, jax.random.key(0))
    cells = params["cells_01"]
    for name in ("w_x_DG", "w_h_DG"):
        assert float(cells[name].std()) == pytest.approx(256**-0.5, rel=0.02)
    assert (cells["bias_f_D"] == 1).all() and (cells["bias_iog_3D"] == 0).all()
    tokens = jax.random.randint(jax.random.key(1), (8, 9), 0, 11)
    nats = jax.jit(lambda p: tree.nats(cfg, p, tokens).mean())(params)
    assert float(nats) == pytest.approx(np.log(11), abs=0.05)  # outputs are small at the start


@pytest.mark.parametrize("kind", KINDS)
def test_bfloat16_products_are_near_float32(kind):
    full, half = build(kind, d_model=64), build(kind, d_model=64, dtype="bfloat16")
    params, tokens = tree.init(full, jax.random.key(0)), jnp.arange(9)[None] % 11

    def found(cfg):
        return jax.jit(jax.value_and_grad(lambda p: tree.nats(cfg, p, tokens).mean()))(params)

    (a, grads), (b, others) = found(full), found(half)
    assert 0 < abs(float(a) - float(b)) < 0.01
    for x, y in zip(jax.tree.leaves(grads), jax.tree.leaves(others), strict=True):
        assert float(jnp.abs(x - y).max()) < 0.03 * float(jnp.abs(x).max())


@pytest.mark.parametrize("kind", KINDS)
def test_made_again_for_the_gradient_and_on_an_accelerator_it_is_the_same_model(kind):
    cfg, tokens = build(kind), jnp.arange(18).reshape(2, 9) % 11
    params = noisy(cfg)

    def found(cfg, platform):
        on = Target(platform)
        return jax.jit(
            jax.value_and_grad(lambda p: tree.losses(cfg, p, tokens[:, :-1], tokens[:, 1:], on)[0].mean())
        )(params)

    loss, grads = found(cfg, "cpu")
    other, others = found(build(kind, remat=True), "gpu")
    assert float(loss) == pytest.approx(float(other), rel=1e-6)
    for a, b in zip(jax.tree.leaves(grads), jax.tree.leaves(others), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_it_learns_to_look_back(kind):
    """Pairs of letters in which the second repeats the first after two others: what to say is only
    known from three steps ago. A model without memory can't do better than ln 8 there."""
    cfg = build(kind, d_model=32, n_layer=1, vocab_size=8, seq_len=7)
    shape = Shape(cfg, OptimConfig(learning_rate=1.0), 32, 0, 1)
    hyper = {
        "learning_rate": 0.02,
        "weight_decay": 0.0,
        "warmup": 1.0,
        "horizon": 200.0,
        "cooldown": 0.0,
        "final": 0.0,
    }
    state = step.init_state(shape, jax.random.key(0), jax.tree.map(jnp.float32, hyper))

    def tokens(key):
        a, b, c = jax.random.randint(key, (3, 32), 0, 8)
        return jnp.stack([a, b, c, a, b, c, a, b], axis=1)

    def body(state, key):
        state, metrics = step.train_step(shape, state, tokens(key))
        return state, metrics["loss"]

    state, _ = jax.jit(lambda s: lax.scan(body, s, jax.random.split(jax.random.key(1), 200)))(state)
    nats_L = jax.jit(lambda p, t: tree.nats(cfg, p, t).mean(0))(state.params, tokens(jax.random.key(2)))
    assert (nats_L[2:] < 0.3).all(), nats_L  # from the third target on all is known
    assert (nats_L[:2] > 1.9).all(), nats_L  # ln 8 = 2.08: the letters themselves are chance


def test_every_way_of_running_a_step_runs_an_lstm_s():
    """On one device: what differs is who splits the batch, stacks the runs and cuts the state."""
    cfg = build("lstm", n_layer=1)
    shape = Shape(cfg, OptimConfig(learning_rate=1.0, optimizer="sgd", clip=0.0), 4, 0, 2)
    hyper = {
        "learning_rate": 0.5,
        "weight_decay": 0.0,
        "warmup": 1.0,
        "horizon": 9.0,
        "cooldown": 0.0,
        "final": 0.0,
    }
    begin = step.init_state(shape, jax.random.key(0), jax.tree.map(jnp.float32, hyper))
    tokens_RSBL = np.arange(72, dtype=np.int32).reshape(1, 2, 4, 9) % 11
    here = tuple(jax.local_devices()[:1])
    losses = {}
    for way in ("jit", "mesh", "fsdp", "pmap"):
        compiled = parallel.compile_step(shape, way, here)
        _, metrics = compiled.step(compiled.place(begin), tokens_RSBL, np.int32(2))
        losses[way] = np.asarray(metrics["loss"])
    packed = parallel.compile_step(shape, devices=here, each=2)
    _, metrics = packed.step(packed.place(begin), tokens_RSBL.repeat(2, 0), np.int32(2))
    losses["pack"], losses["other lane"] = np.asarray(metrics["loss"])
    for way, found in losses.items():
        np.testing.assert_allclose(found, losses["jit"], rtol=1e-5, err_msg=way)
    assert losses["jit"][1] != losses["jit"][0]
