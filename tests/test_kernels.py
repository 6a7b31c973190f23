"""The forms that a model takes off CPU give the numbers of the form it has here."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab.launch.order import REMAT
from lab.models import attention, kernels, ops, tree
from lab.models.target import POLICIES, Target
from tests.test_ahead import config_of, lowered
from tests.test_model import noisy


@pytest.mark.parametrize("width", [16, 128])
def test_splash_attention_is_attention(monkeypatch, width):
    """As plain operations, with its gradient, at a head that fills a tile and one that does not."""
    monkeypatch.setattr(kernels, "INTERPRET", True)
    kernels.splash_kernel.cache_clear()
    keys = jax.random.split(jax.random.key(0), 4)
    q, k, v, g = (jax.random.normal(key, (2, 128, 2, width)) for key in keys)
    ours, back = jax.vjp(lambda *t: kernels.attention(0.3 * t[0], *t[1:], Target("tpu")), q, k, v)
    plain, expected = jax.vjp(lambda *t: attention.attend(*t, 0.3, Target("cpu")), q, k, v)
    kernels.splash_kernel.cache_clear()
    np.testing.assert_allclose(ours, plain, atol=2e-5)
    for found, wanted in zip(back(g), expected(g), strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_a_shape_that_no_kernel_takes_is_multiplied_plainly():
    q = jnp.ones((1, 100, 2, 16))
    assert kernels.attention(q, q, q, Target("tpu")) is None
    assert kernels.attention(q, q, q, Target("gpu")) is None
    assert kernels.attention(q, q, q, Target("gpu", "bfloat16")) is None  # no cuDNN is here
    assert "tpu_custom_call" in lowered(config_of(seq_len=128), "mesh", "tpu").as_text()
    assert "tpu_custom_call" not in lowered(config_of(seq_len=96), "mesh", "tpu").as_text()


@pytest.mark.parametrize(
    ("kind", "remat"),
    [
        ("transformer", "dots"),
        *(
            pytest.param("transformer", policy, marks=pytest.mark.long)
            for policy in POLICIES
            if policy != "dots"
        ),
        *(pytest.param(kind, "", marks=pytest.mark.long) for kind in ("moe", "hgrn")),
    ],
)
def test_layers_in_a_scan_are_the_layers_one_after_another(kind, remat):
    cfg, tokens = config_of(kind, n_layer=3).model, jnp.arange(18).reshape(2, 9) % 32
    params = noisy(cfg)

    def found(on):
        def loss(p):
            nats_BL, extra = tree.losses(cfg, p, tokens[:, :-1], tokens[:, 1:], on)
            return nats_BL.mean() + (0.0 if extra is None else extra)

        assert ("scan" in str(jax.make_jaxpr(loss)(params))) == (on.platform == "gpu" and not on.flat)
        return jax.jit(jax.value_and_grad(loss))(params)

    (loss, grads), (other, others) = found(Target("gpu", flat=True)), found(Target("gpu", remat=remat))
    assert float(loss) == pytest.approx(float(other), rel=1e-6)
    for a, b in zip(jax.tree.leaves(grads), jax.tree.leaves(others), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_a_scanned_program_s_loop_does_not_grow_with_the_depth():
    def text(n_layer):
        return lowered(config_of(n_layer=n_layer), "jit", "tpu").as_text()

    products = [text(n).count("stablehlo.dot_general") for n in (4, 8)]
    assert products[0] == products[1] > 0
    with pytest.raises(ValueError, match="none of nothing"):
        Target("tpu", remat="some")
    assert tuple(POLICIES) == REMAT


@pytest.mark.parametrize("time", [0, 1])
@pytest.mark.parametrize("most", [1, 40, 10**6])
def test_cross_entropy_cut_along_time_is_cross_entropy(monkeypatch, time, most):
    monkeypatch.setattr(ops, "FAR_WIDE", most)
    x, w = jax.random.normal(jax.random.key(0), (6, 6, 5)), jax.random.normal(jax.random.key(1), (5, 7))
    targets = jax.random.randint(jax.random.key(2), (6, 6), 0, 7)
    entropy = partial(ops.cross_entropy, targets_BL=targets)
    ours, back = jax.vjp(lambda x, w: entropy(x, w, on=Target("tpu"), time=time), x, w)
    plain, expected = jax.vjp(lambda x, w: entropy(x, w, on=Target("cpu")), x, w)
    np.testing.assert_allclose(ours, plain, rtol=1e-5)
    for found, wanted in zip(back(plain), expected(plain), strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-5)
