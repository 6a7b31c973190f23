"""Likelihoods of one text by several objectives: a known language's come back exactly."""

import jax
import numpy as np
import pytest

from lab.config import ModelConfig
from lab.data.batches import spans_of
from lab.models import tree
from lab.trained import infill

IDS, L, V = 4, 17, 8  # the language's symbols; a window; with marks
T = np.random.default_rng(0).dirichlet(np.ones(IDS), IDS)  # of a symbol given the one before
SHARES = np.linalg.matrix_power(T, 200)[0]


def windows(number=50):
    rng, out = np.random.default_rng(1), np.zeros((number, L + 1), int)
    out[:, 0] = rng.choice(IDS, number, p=SHARES)
    for place in range(1, L + 1):
        out[:, place] = [rng.choice(IDS, p=T[before]) for before in out[:, place - 1]]
    return out


def causal(inputs, first, at):
    """The language, told from what stands before."""
    return np.log(T[np.take_along_axis(inputs, at, 1)])


def both_sides(inputs, first, at):
    """The language at a hidden place, given the nearest that is shown on either side."""
    out = np.zeros((*at.shape, IDS))
    for row, places in enumerate(at):
        for column, place in enumerate(places):
            shown = np.flatnonzero(inputs[row] < IDS)
            left, right = shown[shown < place], shown[shown > place]
            p = (
                SHARES
                if not len(left)
                else np.linalg.matrix_power(T, place - left[-1])[inputs[row, left[-1]]]
            )
            if len(right):
                p = p * np.linalg.matrix_power(T, right[0] - place)[:, inputs[row, right[0]]]
            out[row, column] = np.log(p / p.sum())
    return out


def test_the_end_of_a_text_has_one_likelihood_whichever_way_it_is_asked_for():
    tokens = windows()
    of = [infill.ends(ask, name, tokens, V) for ask, name in ((causal, "next_token"), (both_sides, "masked"))]
    given = L - 1 - of[0].shape[1]
    truth = -np.log(T[tokens[:, given - 1 : L - 2], tokens[:, given : L - 1]])
    np.testing.assert_allclose(of[0], truth)
    np.testing.assert_allclose(of[1], truth)


def test_a_span_s_likelihood_given_both_sides_is_that_of_the_language():
    tokens = windows()
    length, noise, spans = spans_of(L)
    assert spans == 1
    found = infill.spans(both_sides, "masked", tokens, V).sum(1)
    before = infill.spans(causal, "next_token", tokens, V)
    for row, nats, alone in zip(tokens, found, before, strict=True):
        steps, truths = -np.log(T[row[:-1], row[1:]]), []
        for start in range(1, length - noise + 1):
            if np.allclose(steps[start - 1 : start - 1 + noise], alone):  # it may stand here
                end = start + noise
                truths.append(alone.sum())
                if end < length:
                    bridge = np.linalg.matrix_power(T, noise + 1)[row[start - 1], row[end]]
                    truths[-1] += steps[end - 1] + np.log(bridge)
        assert any(nats == pytest.approx(truth) for truth in truths)


def test_every_objective_is_asked_for_the_same_tokens_in_the_same_order():
    tokens, p = windows(), np.log([0.1, 0.2, 0.3, 0.4])
    alike = lambda inputs, first, at: np.broadcast_to(p, (*at.shape, IDS))  # noqa: E731
    for measure in (infill.ends, infill.spans):
        base = measure(alike, "next_token", tokens, V)
        for name in ("prefix", "masked", "span_corruption"):
            np.testing.assert_array_equal(measure(alike, name, tokens, V), base)


def test_what_is_asked_of_a_model_of_spans_is_in_the_form_it_learned():
    """Marks stand where it is told from, and nothing of the answer before its place."""
    tokens = windows()
    seen = []

    def ask(inputs, first, at):
        seen.append((inputs, first, at))
        return np.zeros((*at.shape, IDS))

    infill.ends(ask, "span_corruption", tokens, V)
    inputs, first, at = seen[0]
    given = first[0] - 1
    np.testing.assert_array_equal(inputs[:, :given], tokens[:, :given])
    np.testing.assert_array_equal(inputs[:, given : given + 2], V - 1)
    np.testing.assert_array_equal(at[:, 0], given + 1)
    assert inputs.shape[1] == L


@pytest.mark.parametrize(("kind", "settings"), [("transformer", {"prefix": True}), ("encoder_decoder", {})])
def test_a_model_answers_with_log_probabilities_of_the_text_s_ids_alone(kind, settings):
    cfg = ModelConfig(kind=kind, d_model=8, n_layer=1, n_head=1, vocab_size=V, seq_len=L, settings=settings)
    ask = infill.asker(cfg, tree.init(cfg, jax.random.key(0)), IDS)
    length, noise, spans = spans_of(L)
    first = length - noise + spans
    inputs, at = windows(3)[:, :-1], np.full((3, 2), [[first, first + 1]])
    answer = ask(inputs, np.full(3, first), at)
    assert answer.shape == (3, 2, IDS)
    np.testing.assert_allclose(np.exp(answer).sum(-1), 1, rtol=1e-5)
