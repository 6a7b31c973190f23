"""Drawn images: what can be drawn is listed, so entropies are sums; images show what captions say."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from lab.data import glyphs
from lab.data.glyphs import PIXELS, SIDE, Glyphs
from lab.data.languages import parse_language

DRAWN = Glyphs(fonts=2)


def image_of(content):
    return content[:PIXELS].reshape(SIDE, SIDE)


def test_what_may_follow_has_probabilities_that_sum_to_one():
    sentences = DRAWN.documents(6, DRAWN.sentence, seed=3)
    for place in (0, 3, 4, 60, 90, 123, 124, 127):
        others = np.repeat(sentences[:, None], DRAWN.n_symbols, 1)
        others[:, :, place] = np.arange(DRAWN.n_symbols)
        chances = np.exp(DRAWN.log_probs(others)[:, :, place])
        np.testing.assert_allclose(chances.sum(1), 1.0, rtol=1e-12)


def test_the_entropy_is_that_of_all_drawings_counted_one_by_one():
    every = DRAWN.drawn(np.arange(np.prod(DRAWN.ways)))
    counts = np.unique([row.tobytes() for row in every], return_counts=True)[1]
    p = counts / len(every)
    assert DRAWN.entropies["both"] == pytest.approx(-(p * np.log(p)).sum(), rel=1e-12)
    assert DRAWN.entropy_rate * DRAWN.sentence == pytest.approx(DRAWN.entropies["both"], rel=1e-12)
    assert p.sum() == 1 and len(p) < len(every)  # some letters look alike
    assert DRAWN.entropies["caption"] == pytest.approx(np.log(26 * 4 * 2 * 4))  # all words evenly
    nats = -DRAWN.log_probs(DRAWN.documents(2000, DRAWN.sentence, seed=1)).sum(1)
    error = nats.std(ddof=1) / np.sqrt(len(nats))
    assert abs(nats.mean() - DRAWN.entropies["both"]) < 4 * error


def test_what_an_image_tells_of_its_caption_is_the_mean_of_the_log_ratio():
    drawn = DRAWN.draw(np.random.default_rng(0), 400)
    own = np.concatenate([np.diag(DRAWN.ratios(part)) for part in np.split(drawn, 8)])
    assert own.mean() == pytest.approx(DRAWN.entropies["shared"], abs=0.05)
    ratios = DRAWN.ratios(drawn[:50])
    alike = (drawn[:50, None, PIXELS:] == drawn[None, :50, PIXELS:]).all(2)
    assert np.isfinite(ratios[alike]).all()
    assert np.isinf(ratios[~alike]).mean() > 0.99  # few images have two meanings


def test_an_image_shows_what_its_caption_says():
    faces = np.stack([glyphs.shapes(font) for font in glyphs.FONTS[glyphs.SETS[2]]])
    for content in DRAWN.draw(np.random.default_rng(1), 100):
        first = [glyphs.LETTER, glyphs.INK, glyphs.SIZE, glyphs.QUADRANT]
        letter, ink, size, quadrant = (
            int(word) - of for word, of in zip(content[PIXELS:], first, strict=True)
        )
        inked = image_of(content) == ink
        assert len(np.unique(image_of(content))) == 2
        corners = [(2 * (quadrant // 2) + i, 2 * (quadrant % 2) + j) for i in (0, 1) for j in (0, 1)]
        shown = [
            np.pad(face, ((i, 3 - i), (j, 3 - j))) for face in faces[:, letter, size] for i, j in corners
        ]
        assert any((each == inked).all() for each in shown)


def test_fonts_that_are_held_out_are_others_and_names_make_them():
    first, other = (set(glyphs.FONTS[part]) for part in glyphs.SETS[1:])
    assert not first & other and first | other == set(glyphs.FONTS) and len(glyphs.FONTS) == 22
    assert parse_language("glyphs:2-0-5000") == (DRAWN, 5000)
    with pytest.raises(ValueError, match="fonts are 0"):
        parse_language("glyphs:3-0")
    with pytest.raises(ValueError, match="cut the sentences of 128"):
        DRAWN.floor(64)


def test_the_floor_of_matching_is_what_captions_that_come_twice_leave():
    drawn = DRAWN.draw(np.random.default_rng(3), 40)
    drawn = np.concatenate([drawn, drawn[:10]])  # ten come twice
    ratios = DRAWN.ratios(drawn)
    alike = (drawn[:, None, PIXELS:] == drawn[None, :, PIXELS:]).all(2).sum(1)
    one = np.isfinite(ratios).sum(1) == alike  # images of one meaning
    floor = np.logaddexp.reduce(ratios, axis=1) - np.diag(ratios)
    assert one.mean() > 0.9
    np.testing.assert_allclose(floor[one], np.log(alike[one]), rtol=1e-9, atol=1e-12)
    worse = ratios + np.random.default_rng(4).normal(size=ratios.shape)
    finite = np.where(np.isfinite(worse), worse, -50.0)
    assert (np.logaddexp.reduce(finite, axis=1) - np.diag(finite)).mean() > floor.mean()


def test_objectives_of_drawings_hide_what_they_ask():
    from experiments.own import drawings

    window = np.append(DRAWN.documents(1, 4 * DRAWN.sentence, seed=1), DRAWN.vocabulary)
    text, target, weights = map(np.asarray, drawings.letter.example(None, jnp.asarray(window[:129]), 41))
    assert (text[drawings.CAPTION :] == DRAWN.vocabulary).all() and weights.sum() == 1
    assert target[weights > 0] == window[drawings.CAPTION] and drawings.CAPTION == 3 + PIXELS
    text, target, weights = map(np.asarray, drawings.pairs.example(None, jnp.asarray(window), 41))
    assert (text == window[:-1]).all() and weights.sum() == 8
    assert target[weights > 0].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


def test_a_reader_s_convolution_is_that_of_its_pixels_and_it_sees_no_caption():
    from experiments import vision
    from lab.config import ModelConfig, userfile
    from lab.models import tree

    kind = userfile.load(userfile.name(f"{vision.OWN}:Convolution"))
    image = np.random.default_rng(0).normal(size=(2, SIDE, SIDE, 3)).astype(np.float32)
    for stride in (1, 2):
        layer = kind(3, 5, nnx.Rngs(1), stride)
        weight, form = layer.weight[...].reshape(3, 3, 3, 5), ("NHWC", "HWIO", "NHWC")
        known = jax.lax.conv_general_dilated(
            image, weight, [stride] * 2, [(1, 1)] * 2, dimension_numbers=form
        )
        np.testing.assert_allclose(layer(image), known, atol=1e-5)
    shape = {"n_layer": 1, "d_model": 4, "n_head": 1, "vocab_size": 41, "seq_len": DRAWN.sentence}
    cfg = ModelConfig(kind=f"{vision.OWN}:Reader", settings={"patch": vision.PATCH}, **shape)
    told = jax.jit(lambda key, tokens: tree.apply(cfg, tree.init(cfg, key), tokens))
    drawings = DRAWN.documents(2, DRAWN.sentence, seed=1)
    other = drawings - (np.arange(DRAWN.sentence) >= DRAWN.sentence - 4)  # another caption
    logits = told(jax.random.key(2), drawings)
    np.testing.assert_array_equal(logits, told(jax.random.key(2), other))
    assert np.abs(logits[0, -4:] - logits[1, -4:]).min() > 0


def test_a_masked_autoencoder_is_told_all_patches_but_four_and_its_encoder_is_a_reader_s():
    from experiments import mae, vision
    from lab.config import ModelConfig, userfile
    from lab.models import tree

    objective, cut, whole = (
        userfile.load(userfile.name(f"{mae.OWN}:{part}")) for part in ("hidden", "cut", "whole")
    )
    drawing = jnp.asarray(np.append(DRAWN.documents(1, DRAWN.sentence, seed=1), 0))
    asked, target, weights = map(np.asarray, objective.example(jax.random.key(3), drawing, 41))
    image = slice(mae.IMAGE, mae.CAPTION)
    sides = np.arange(PIXELS) // SIDE // 3 * 4 + np.arange(PIXELS) % SIDE // 3
    seen = {int(patch) for patch in sides[weights[image] == 0]}
    assert (
        len(seen) == 4
        and (weights[image] == ~np.isin(sides, list(seen))).all()
        and weights[: mae.IMAGE].sum() == 0
    )
    assert (asked[weights > 0] == DRAWN.vocabulary).all() and (asked[mae.CAPTION :] == DRAWN.vocabulary).all()
    assert (target == np.asarray(drawing[:-1])).all() and weights[mae.CAPTION :].sum() == 0
    np.testing.assert_array_equal(whole(cut(drawing[None, :-1]))[0].argmax(-1), drawing[image])
    shape = {"n_layer": 1, "d_model": 8, "n_head": 2, "vocab_size": 41, "seq_len": DRAWN.sentence}
    of = lambda kind, **more: ModelConfig(kind=kind, **shape, **more)  # noqa: E731
    cfgs = of(f"{mae.OWN}:Masked"), of(f"{vision.OWN}:Reader", settings={"patch": vision.PATCH})
    encoder, own = (jax.eval_shape(partial(tree.init, cfg), jax.random.key(0))["image"] for cfg in cfgs)
    assert jax.tree.map(jnp.shape, encoder) == jax.tree.map(jnp.shape, own)


def test_hidden_pixels_cost_at_least_what_all_that_can_be_drawn_leaves_of_them():
    from experiments import mae

    rows, probs = DRAWN.table
    images = rows[:, :PIXELS]
    hidden = np.arange(PIXELS) % SIDE >= 4
    image = images[5000]
    same = (images[:, ~hidden] == image[~hidden]).all(1)
    known = [
        probs[same & (images[:, place] == image[place])].sum() / probs[same].sum() for place in range(PIXELS)
    ]
    nats = mae.posterior_nats(np.ascontiguousarray(images.T), probs, image, hidden)
    np.testing.assert_allclose(nats, -np.log(known), atol=1e-9)
    assert 0 < nats[hidden].mean() < np.log(4) and nats[~hidden] == pytest.approx(0)
    paper = np.zeros(PIXELS, int)
    assert mae.near([(paper, hidden)]) == pytest.approx(0)


def test_what_an_encoder_is_worth_in_labelled_drawings_comes_back_with_where_it_ends():
    from experiments import mae

    n = np.array([100.0, 400.0, 1600.0])
    rows = [(n, 0.0, 1.0), (n, 0.0, 1.0), (n[:1], 5.0, 4.0), (n[:1], 5.0, 4.0)]  # labelled, before, worth
    stack = lambda width: np.concatenate([width * 10 * (k * of) ** -0.5 for of, _, k in rows])  # noqa: E731
    labelled = np.concatenate([of for of, *_ in rows] * 2)
    before = np.concatenate([np.full(len(of), b) for of, b, _ in rows] * 2)
    caption = np.concatenate([stack(1), stack(2)])
    caption *= np.where(np.arange(len(caption)) % 2, 1.001, 0.999)
    columns = {
        "labelled": labelled,
        "caption": caption,
        "caption_floor": 0 * caption,
        "width": np.repeat([1.0, 2.0], len(caption) // 2),
        "flops": labelled,
    }
    found = mae.Found(columns, dict(zip(mae.ARMS, (before == 0, before == 0, before > 0), strict=True)))
    mean, low, high = (
        float(part)
        for part in found.worth(100, before == 0).replace("(", "").replace(")", "").replace(",", "").split()
    )
    assert low < 4 < high and mean == pytest.approx(4, rel=0.02) and high < 4.2
    columns["caption"] = np.where(before > 0, caption / 9, caption)
    assert found.worth(100, before == 0) == "over 16"
