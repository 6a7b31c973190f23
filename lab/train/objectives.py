"""What a run learns to tell from what: an entry of OBJECTIVES each.

An objective makes an example of a window of L + 1 tokens and a key. The key is of the update and of the
window's own tokens, so a run's data stay a function of (tokens, seed, step) however its batch is split over
devices; a held-out window has one key for ever, and so its loss is a function of the weights alone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lab.config import NEXT_TOKEN, ModelConfig, userfile
from lab.data.batches import shift, spans_of
from lab.models import tree

HELD_OUT = 2**32 - 1  # in the place of an update's number
MASKED = 0.15  # of the tokens; of these 80 % are masked, 10 % are others, 10 % stay (Devlin et al. 2019)
Example = tuple[jax.Array, jax.Array, jax.Array]  # inputs, targets and weights of these, (L,) each


@dataclass(frozen=True)
class Objective:
    """One way to learn from a window.

    Args:
      example: of (key, tokens (L + 1,), vocab_size).
      unit: of its loss, the mean over targets by their weights.
      ids: of seq_len, how many of the vocabulary's last ids are marks of its own, which no text may hold.
      causal: whether a target is among the inputs after its place, so that a model that looks there copies.
      end: whether targets are the end of a window alone, so that a model may read what stands before from
        both sides.
      parted: as `example`, of a model, too, that reads so many tokens before it tells any: where a window may
        be parted anywhere.
    """

    example: Callable[[jax.Array, jax.Array, int], Example]
    unit: str = "nats/target"
    ids: Callable[[int], int] = lambda seq_len: 0
    causal: bool = True
    end: bool = False
    parted: Callable[[jax.Array, jax.Array, int, int], Example] | None = None


class Batch(NamedTuple):
    inputs_BL: jax.Array
    targets_BL: jax.Array
    weights_BL: jax.Array | None  # None: each target counts once


def next_token(key: jax.Array, tokens: jax.Array, vocab_size: int) -> Example:
    inputs, targets = shift(tokens)
    return inputs, targets, jnp.ones(targets.shape)


def masked(key: jax.Array, tokens: jax.Array, vocab_size: int) -> Example:
    """A fixed number of places is told, from a text in which most of them are hidden."""
    text, L = tokens[:-1], len(tokens) - 1
    which, how, other = jax.random.split(key, 3)
    chosen_L = jnp.argsort(jax.random.permutation(which, L)) < max(1, round(MASKED * L))
    draw = jax.random.uniform(how, (L,))
    hidden = jnp.where(draw < 0.9, jax.random.randint(other, (L,), 0, vocab_size - 1), text)
    hidden = jnp.where(draw < 0.8, vocab_size - 1, hidden)
    return jnp.where(chosen_L, hidden, text), text, chosen_L.astype(jnp.float32)


def prefix(key: jax.Array, tokens: jax.Array, vocab_size: int, source: int = 0) -> Example:
    """The end of a window is told from its beginning, parted anywhere (Raffel et al. 2020, 3.2.1), or after
    `source` tokens."""
    inputs, targets = shift(tokens)
    given = source or jax.random.randint(key, (), 1, len(tokens))  # tokens
    return inputs, targets, (jnp.arange(len(targets)) >= given - 1).astype(jnp.float32)


def parts(key: jax.Array, total: int, number: int) -> jax.Array:
    """Random lengths of `number` parts of `total`, none empty."""
    begins = jnp.arange(total - 1) < number - 1
    part = jnp.cumsum(jnp.concatenate([jnp.zeros(1, int), jax.random.permutation(key, begins)]))
    return jnp.bincount(part, length=number)


def span_corruption(key: jax.Array, tokens: jax.Array, vocab_size: int) -> Example:
    """A text with marks for what was cut out, then each mark with what stood there, as one text: the second
    part is told. Spans begin after a token that stays."""
    seq_len = len(tokens) - 1
    length, noise, spans = spans_of(seq_len)
    first, second = jax.random.split(key)
    lengths = jnp.stack([parts(first, length - noise, spans), parts(second, noise, spans)], 1).ravel()
    segment = jnp.repeat(jnp.arange(2 * spans), lengths, total_repeat_length=length)
    text, span, cut = tokens[:length], segment // 2, segment % 2 == 1
    begins = cut & (jnp.diff(segment, prepend=0) > 0)
    mark = vocab_size - 1 - span
    begin, size = length - noise + spans, length + 2 * spans + 1  # of the second part; of the whole
    place = jnp.where(cut, begin + jnp.cumsum(cut) + span, jnp.cumsum(~cut | begins) - 1)
    nowhere = jnp.where(begins, 0, size)  # which is dropped
    whole = jnp.zeros(seq_len + 1, tokens.dtype).at[place].set(text)
    whole = whole.at[nowhere + jnp.cumsum(~cut | begins) - 1].set(mark, mode="drop")
    whole = whole.at[nowhere + place - 1].set(mark, mode="drop").at[size - 1].set(vocab_size - 1 - spans)
    inputs, targets = shift(whole)
    places = np.arange(1, seq_len + 1)
    return inputs, targets, jnp.asarray((places >= begin) & (places < size), jnp.float32)


OBJECTIVES = {
    NEXT_TOKEN: Objective(next_token, "nats/token"),
    "masked": Objective(masked, "nats/masked token", lambda seq_len: 1, causal=False),
    "prefix": Objective(prefix, "nats/token", end=True, parted=prefix),
    "span_corruption": Objective(span_corruption, ids=lambda seq_len: spans_of(seq_len)[2] + 1, end=True),
}


@cache
def find(name: str) -> Objective:
    """The entry of a name, or what a user's file has of it: an Objective, or the function alone.

    Raises:
      ValueError: the user named no such file, or it holds no such objective.
    """
    if not userfile.is_named(name):
        return OBJECTIVES[name]
    brought = userfile.load(name)
    if not isinstance(brought, Objective) and not callable(brought):
        raise ValueError(f"{name} is neither a function of (key, tokens, vocab_size) nor an Objective")
    return brought if isinstance(brought, Objective) else Objective(brought)


def examples(name: str, cfg: ModelConfig, tokens_BL: jax.Array, step: jax.Array | int) -> Batch:
    """The examples of a batch of windows (B, L + 1) at an update."""
    if name == NEXT_TOKEN:
        return Batch(*shift(tokens_BL), None)
    return Batch(*jax.vmap(lambda tokens: example(name, cfg, tokens, step))(tokens_BL))


def example(name: str, cfg: ModelConfig, tokens: jax.Array, step: jax.Array | int) -> Example:
    """That of one window (L + 1,)."""
    powers = np.array([pow(0x9E3779B1, place, 1 << 32) for place in range(len(tokens))], np.uint32)
    content = (tokens.astype(jnp.uint32) * powers).sum(dtype=jnp.uint32)
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(0), step), content)
    how, source = find(name), tree.source(cfg)
    if source and how.parted:
        made = how.parted(key, tokens, cfg.vocab_size, source)
    else:
        made = how.example(key, tokens, cfg.vocab_size)
    shapes = [jnp.shape(part) for part in made]
    if shapes != [(len(tokens) - 1,)] * 3:
        raise ValueError(
            f"{name} gives {shapes} of a window of {len(tokens)} tokens; inputs, targets and weights are "
            f"(L,) = ({len(tokens) - 1},) each"
        )
    return made


def prefix_of(cfg: ModelConfig, weights_BL: jax.Array | None) -> jax.Array | None:
    """How many inputs of each window stand before the first target that is told, (B,), for a model that reads
    them from both sides; None for others."""
    if weights_BL is None or not tree.takes_prefix(cfg):
        return None
    return 1 + (weights_BL > 0).argmax(1)


def check_attention(name: str, cfg: ModelConfig) -> None:
    """Refuse a model that is given what it is to tell, or does not tell what it is asked.

    Raises:
      ValueError: the objective needs a causal model, and this is none; or the model reads the beginning of
        a window whole, and the objective tells of it.
    """
    if find(name).causal and not tree.is_causal(cfg):
        raise ValueError(
            f"objective {userfile.content(name)!r} tells tokens that stand later in what the model is given, "
            f"and {cfg.name} looks there: it would copy them; take 'masked', or leave causal=False out"
        )
    source = tree.source(cfg)
    if (source or tree.takes_prefix(cfg)) and not find(name).end:
        raise ValueError(
            f"objective {userfile.content(name)!r} tells more than the end of a window, and {cfg.name} reads "
            "the beginning from both sides: take 'prefix' or 'span_corruption'"
        )
    if source and (told := first_told(name, cfg)) < source - 1:
        raise ValueError(
            f"objective {userfile.content(name)!r} tells what follows {told + 1} tokens of a window, and "
            f"{cfg.name} reads {source} before it tells any: give settings={{'source': {told + 1}}}"
        )


def first_told(name: str, cfg: ModelConfig) -> int:
    """The place of the first input of a window after which a token is told."""
    weights = example(name, cfg, jnp.zeros(cfg.seq_len + 1, int), HELD_OUT)[2]
    return int((np.asarray(weights) > 0).argmax())


def check(name: str, cfg: ModelConfig, text_ids: int) -> None:
    """Refuse an objective whose marks are ids of the text, whose examples are none, or whose targets the
    model sees.

    Raises:
      ValueError: says which.
    """
    check_attention(name, cfg)
    how, L = find(name), cfg.seq_len
    marks = how.ids(L)
    if text_ids + marks > cfg.vocab_size:
        raise ValueError(
            f"objective {name!r} takes {marks} ids beyond the text's {text_ids} for its marks; make "
            f"vocab_size at least {text_ids + marks} (it is {cfg.vocab_size})"
        )
    if userfile.is_named(name):
        tokens = jnp.arange(L + 1) % text_ids
        inputs, targets, weights = map(np.asarray, example(name, cfg, tokens, HELD_OUT))
        ids = np.concatenate([inputs, targets])
        if not (np.issubdtype(ids.dtype, np.integer) and 0 <= ids.min() and ids.max() < cfg.vocab_size):
            raise ValueError(f"{name} gives ids {ids.min()}..{ids.max()}, outside of 0..{cfg.vocab_size - 1}")
        if not (np.isfinite(weights).all() and weights.min() >= 0 and weights.sum() > 0):
            raise ValueError(f"{name} gives weights {weights}: they are 0 or more, and not all 0")
