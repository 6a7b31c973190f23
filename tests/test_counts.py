"""Counts by formula agree with the tree, with the traced products, and with the compiler."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jax.extend.core import jaxprs_in_params

from lab.config import ModelConfig
from lab.models import counts, programs, tree

transformers = st.builds(
    lambda heads, half, **rest: ModelConfig(d_model=2 * half * heads, n_head=heads, **rest),
    heads=st.integers(1, 3),
    half=st.integers(1, 8),
    n_layer=st.integers(1, 3),
    vocab_size=st.integers(2, 70),
    seq_len=st.integers(1, 16),
    d_ff=st.sampled_from([0, 24]),
    norm=st.sampled_from(["rmsnorm", "layernorm"]),
    position=st.sampled_from(["rope", "learned"]),
    activation=st.sampled_from(["gelu", "swiglu"]),
    tied=st.booleans(),
)
recurrent = st.builds(
    ModelConfig,
    kind=st.sampled_from(["lstm", "gru"]),
    d_model=st.integers(1, 24),
    n_head=st.just(1),
    n_layer=st.integers(1, 3),
    vocab_size=st.integers(2, 70),
    seq_len=st.integers(1, 16),
    tied=st.booleans(),
)
shapes = transformers | recurrent


@given(shapes)
@settings(max_examples=60, deadline=None)
def test_parameters_by_role_are_those_of_the_tree(cfg):
    found = counts.count_params(cfg)
    sizes = {role: 0 for role in ("embed", "hidden", "readout", "gain")}
    for weight in tree.describe(cfg):
        sizes[weight.role] += weight.size
    shared = cfg.vocab_size * cfg.d_model if cfg.tied else 0  # a tied table is the readout
    assert found.embed == sizes["embed"] - shared
    assert found.hidden == sizes["hidden"] + sizes["gain"]
    assert found.readout == sizes["readout"] + shared
    assert found.total == sum(sizes.values())


def products(jaxpr) -> int:
    """FLOPs of every dot_general in a traced program, those inside calls included, and those
    inside a loop as often as it turns."""
    total = 0
    for equation in jaxpr.eqns:
        turns = equation.params["length"] if equation.primitive.name == "scan" else 1
        for inner in jaxprs_in_params(equation.params):
            total += turns * products(inner)
        if equation.primitive.name == "dot_general":
            (contract, _), _ = equation.params["dimension_numbers"]
            depth = np.prod([equation.invars[0].aval.shape[axis] for axis in contract])
            total += 2 * int(np.prod(equation.outvars[0].aval.shape) * depth)
    return total


@given(shapes)
@settings(max_examples=25, deadline=None)
def test_forward_flops_are_every_product_of_the_traced_model(cfg):
    params = jax.eval_shape(lambda: tree.init(cfg, jax.random.key(0)))
    tokens = jax.ShapeDtypeStruct((3, cfg.seq_len), jnp.int32)
    traced = jax.make_jaxpr(lambda p, t: tree.apply(cfg, p, t))(params, tokens)
    forward = counts.flops_exact(cfg, causal=False) / 3  # the code multiplies the whole square
    assert products(traced.jaxpr) == pytest.approx(3 * cfg.seq_len * forward, rel=1e-12)


@given(shapes)
@example(ModelConfig(d_model=16, n_layer=1, n_head=1, vocab_size=8, seq_len=512))  # trained in blocks of rows
@settings(max_examples=15, deadline=None)
def test_flops_off_the_traced_program_and_weights_off_the_tree_are_the_formulas_to_the_last_digit(cfg):
    assert 3 * programs.flops(cfg) == counts.flops_exact(cfg)
    assert 3 * programs.flops(cfg, causal=False) == counts.flops_exact(cfg, causal=False)
    assert counts.tree_params(cfg) == counts.count_params(cfg)


@pytest.mark.parametrize("kind", ["transformer", "lstm", "gru"])
def test_the_compiler_counts_the_same_program(kind):
    cfg = ModelConfig(kind=kind, d_model=64, n_layer=2, n_head=1, vocab_size=65, seq_len=32)
    assert abs(programs.compiler_gap(cfg)) < 0.005


@given(recurrent)
@settings(max_examples=15, deadline=None)
def test_a_recurrent_step_multiplies_twice_as_much_backward_as_forward(cfg):
    """But for the product of the last state's gradient with no next step, and of the first state,
    which is zero: the formula counts every position alike."""
    params = jax.eval_shape(lambda: tree.init(cfg, jax.random.key(0)))
    tokens = jax.ShapeDtypeStruct((3, cfg.seq_len + 1), jnp.int32)
    loss = jax.grad(lambda p, t: tree.nats(cfg, p, t).mean())
    found = products(jax.make_jaxpr(loss)(params, tokens).jaxpr)
    first = cfg.n_layer * counts.layer(cfg).matrices  # the weights' gradient skips that state
    assert found == pytest.approx(3 * (cfg.seq_len * counts.flops_exact(cfg) - first), rel=1e-12)


def test_the_compiler_counts_the_same_where_matrices_dominate():
    cfg = ModelConfig(d_model=256, n_layer=2, n_head=4, vocab_size=512, seq_len=64, activation="gelu")
    params = jax.eval_shape(lambda: tree.init(cfg, jax.random.key(0)))
    tokens = jax.ShapeDtypeStruct((2, 64), jnp.int32)

    def loss(p, t):
        return tree.apply(cfg, p, t).sum()

    compiled = jax.jit(jax.grad(loss)).lower(params, tokens).compile().cost_analysis()
    analytic = 2 * 64 * counts.flops_exact(cfg, causal=False)
    assert compiled["flops"] == pytest.approx(analytic, rel=0.05)


def test_causal_attention_meets_half_the_keys():
    cfg = ModelConfig(d_model=64, n_layer=3, n_head=2, vocab_size=256, seq_len=128)
    gap = counts.flops_exact(cfg, causal=False) - counts.flops_exact(cfg)
    assert gap == pytest.approx(3 * 3 * 4 * 64 * (128 - 129 / 2))


def test_a_recurrent_model_has_no_attention():
    cfg = ModelConfig(kind="lstm", d_model=512, n_layer=3, n_head=1, vocab_size=65, seq_len=50, tied=False)
    hidden = 3 * 8 * 512 * 512  # four gates, each a matrix on the input and one on the state
    assert counts.count_params(cfg).hidden == hidden + 3 * 4 * 512
    for causal in (True, False):
        assert counts.flops_exact(cfg, causal=causal) == 6 * (hidden + 512 * 65)
