"""Text from a model is what its probabilities say; weights come back from the store."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab.data import batches, corpora
from lab.data.byte_pairs import Bpe
from lab.data.tokens import Bytes, Chars, Symbols
from lab.models import tree
from lab.store import contents
from lab.store.files import StoreError
from lab.store.store import Store
from lab.trained import positions, sample, weights
from tests.conftest import change
from tests.test_model import noisy
from tests.test_recurrent import build
from tests.trained import finished

KINDS = [{"kind": "lstm"}, {"kind": "gru"}, {"n_head": 2}, {"n_head": 2, "position": "learned"}]


def shape(fields):
    return build(fields.get("kind", "transformer"), **{k: v for k, v in fields.items() if k != "kind"})


@pytest.mark.parametrize(
    ("fields", "n_prompt"), [*((fields, 6) for fields in KINDS), (KINDS[0], 1), (KINDS[0], 11)], ids=str
)
def test_the_likeliest_tokens_are_those_of_the_model_on_the_last_tokens_alone(fields, n_prompt):
    """The oracle is given the text alone, without a window: 6, 7 and then the last 8 tokens."""
    cfg = shape(fields)
    params = jax.tree.map(lambda leaf: 6 * leaf, noisy(cfg))  # one that does not repeat itself
    alone = jax.jit(partial(tree.apply, cfg))
    text = list(np.arange(n_prompt) * 3 % 11)
    found = list(sample.sample(cfg, params, np.array(text), 5, temperature=0))
    for token in found:
        assert token == int(alone(params, np.array([text[-8:]]))[0, -1].argmax())
        text.append(token)
    assert len(set(found)) > 1, "a sample that repeats one token would show nothing"


def test_a_text_is_made_by_one_program_whatever_its_length_and_temperature():
    cfg = build("gru")
    params = noisy(cfg)
    sample.next_token.clear_cache()
    for prompt, n, temperature in (([1], 3, 0.0), ([1, 2, 3], 20, 0.7), (range(30), 5, 2.0)):
        list(sample.sample(cfg, params, np.array(prompt) % 11, n, temperature=temperature))
    assert sample.next_token._cache_size() == 1


@pytest.mark.parametrize(("temperature", "top_k", "n_ids"), [(1.0, 0, 0), (0.5, 4, 0), (2, 0, 9)])
def test_tokens_come_as_often_as_the_model_says(temperature, top_k, n_ids):
    cfg = build("lstm")
    params, window = noisy(cfg), jnp.zeros((1, 8), jnp.int32).at[0, :2].set(jnp.array([3, 5]))
    logits = np.asarray(jax.jit(partial(tree.apply, cfg))(params, window)[0, 1], float)
    allowed = np.arange(11) < (n_ids or 11)
    allowed &= logits >= np.sort(logits[allowed])[-(top_k or allowed.sum())]
    expected = np.where(allowed, np.exp(logits / temperature), 0)
    expected /= expected.sum()
    draw = partial(sample.next_token, cfg, top_k or n_ids or 11, n_ids or 11, params, window, 2)
    keys = jax.random.split(jax.random.key(0), 5_000)
    drawn = jax.jit(jax.vmap(lambda key: draw(key, jnp.float32(temperature))[0]))(keys)
    found = np.bincount(drawn, minlength=11) / len(keys)
    assert (found[~allowed] == 0).all()
    np.testing.assert_allclose(found, expected, atol=4 * 0.5 / len(keys) ** 0.5)


def test_the_same_seed_gives_the_same_text_and_another_another():
    cfg = build("lstm")
    texts = [
        list(sample.sample(cfg, noisy(cfg), np.array([1]), 30, temperature=1, seed=seed))
        for seed in (0, 0, 1)
    ]
    assert texts[0] == texts[1] != texts[2]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"prompt": []}, "the prompt is empty"),
        ({"temperature": -1.0}, "temperature=-1"),
        ({"temperature": float("nan")}, "temperature=nan"),
        ({"top_k": -1}, "top_k=-1"),
    ],
)
def test_what_can_t_be_sampled_is_refused(fields, words):
    cfg = build("lstm")
    options = {"prompt": [1], "temperature": 1.0} | fields
    prompt = np.array(options.pop("prompt"), int)
    with pytest.raises(ValueError, match=words):
        next(sample.sample(cfg, noisy(cfg), prompt, 3, **options))


def test_a_model_that_sees_what_comes_after_tells_no_text():
    cfg = build("transformer", n_head=2, settings={"causal": False})
    with pytest.raises(ValueError, match="sees what comes after a token"):
        next(sample.sample(cfg, noisy(cfg), np.array([1]), 3))
    with pytest.raises(ValueError, match="sees what comes after a token"):
        weights.check_tells_all(cfg)


@pytest.mark.parametrize(
    ("tokenizer", "text", "strange"),
    [
        (Bytes(), "día\n", None),
        (Chars("\n abel"), "bea\nble", "zebra"),
        (Symbols(4), "abba", "abbe"),
        (Bpe(((104, 101), (256, 108))), "hello, día", None),
    ],
    ids=lambda x: type(x).__name__,
)
def test_every_tokenizer_takes_a_prompt_and_names_the_character_it_lacks(tokenizer, text, strange):
    assert tokenizer.decode(tokenizer.encode_known(text)) == text
    if strange:
        missing = next(char for char in sorted(strange) if char not in text)
        with pytest.raises(ValueError, match=repr(missing)):
            tokenizer.encode_known(strange)
    unknown = isinstance(tokenizer, Chars)  # its last id stands for no text and is never drawn
    assert tokenizer.n_text_ids == tokenizer.vocab_size - unknown


@pytest.fixture(scope="module")
def store(config, tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("weights") / "runs")
    finished(store, change(config, model__kind="lstm", model__n_head=1))
    return store


def test_final_weights_come_back_and_have_the_loss_of_the_record_by_position_too(store):
    run = weights.read(store, next(store.root.glob("*/record.json")).parent.name[:5])
    cfg, corpus = run.config.model, run.corpus()
    found = positions.by_position(cfg, run.params, corpus)
    assert found.nats.shape == (16,) and found.windows.sum() == run.record["held_out_tokens"]
    mean = (found.nats * found.windows).sum() / found.windows.sum()
    assert mean == pytest.approx(run.record["loss"], rel=1e-6)
    assert run.sha256 == weights.read(store, run.config.run_id).sha256


def test_the_error_of_a_position_s_loss_is_that_of_a_mean_over_windows(store, config):
    corpus = corpora.prepare(config.data.corpus, quiet=True)
    cfg = change(config, model__kind="lstm", model__n_head=1).model
    params = tree.init(cfg, jax.random.key(0))
    found = positions.by_position(cfg, params, corpus, 64 * 16)
    tokens, _ = batches.eval_windows(corpus.held_out, 16, 64 * 16)
    nats = np.asarray(jax.jit(partial(tree.nats, cfg))(params, tokens))
    np.testing.assert_allclose(found.nats, nats.mean(0), rtol=1e-5)
    np.testing.assert_allclose(found.nats_se, nats.std(0, ddof=1) / 8, rtol=1e-5)


def test_weights_that_are_not_there_are_told_in_a_line(store, config, tmp_path):
    with pytest.raises(StoreError, match="names 0 runs"):
        contents.find(store, "ffffffff")
    with pytest.raises(StoreError, match="holds no runs"):
        contents.find(Store(tmp_path), "ab")
    other = Store(tmp_path / "runs")
    other.claim(config)
    with pytest.raises(StoreError, match="is running, and only a run that is done"):
        weights.read(other, config.run_id[:6])


def test_a_checkpoint_that_is_gone_or_damaged_is_told_in_a_line(config, tmp_path):
    store, small = Store(tmp_path / "runs"), change(config, tokens=5 * 128)
    record = finished(store, small)
    last = store.folder(small.run_id) / "checkpoints" / str(record["steps"])
    for file in (last / "state").rglob("*"):
        if file.is_file():
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(StoreError, match="can't be read"):
        weights.read(store, small.run_id)
    last.rename(last.with_name("elsewhere"))
    with pytest.raises(StoreError, match="no checkpoint of update 5"):
        weights.read(store, small.run_id)
