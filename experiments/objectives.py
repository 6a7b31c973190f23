"""What does it cost to learn from masked tokens, prefixes or spans in place of the next token?

Question: on film reviews as bytes, at equal training FLOPs: how likely does a model that learned one of five
          ways find the same bytes, once as the end of a text (before them all that stands before), once as
          spans cut out of it (around them all that can be seen); and how well do its states tell good reviews
          from bad ones?
Command:  python -m lab run experiments.objectives   (:accelerator, :smoke)
Cost:     laptop: 60 runs, 6.3e12 FLOPs, 2 minutes on two cores as `lab plan` prices it;
          accelerator: 60 runs, 6.3e16 FLOPs, an hour or two
Answer:   expected of the ends: next token ahead; the prefix model, told half as much a window, worth .4 to
          .8 of its compute; spans, told a fifth, .1 to .4, with an encoder as without; masked last, 10 % or
          more behind in bits a byte, as it never saw an end hidden. Of the spans: all that see what follows
          ahead of next token on the largest rung, masked among them. Of the probe: masked ahead by a point
          or two, all within three

Next token, prefix (the beginning seen from both sides) and spans are told by a decoder; masked by the same
Transformer that sees both sides; spans by an encoder and a decoder, too, of half the layers each. `ends`: the
last 12 bytes of a window of 63, one after another; masked hides what follows. `spans`: 9 bytes cut out of 58
in three places; masked fills them in one by one, next token and prefix see what stands before alone. Both
are likelihoods, in bits a byte, among the text's own ids. A masked model's own loss is none: it adds up what
each byte is given all the others. Two rates a cell, the better by the objective's own held-out loss; two
seeds. The probe is that of experiments.sentiment.
"""

from dataclasses import dataclass, replace

from experiments.reports import shakespeare
from lab.config import ModelConfig, OptimConfig, RunConfig
from lab.data import corpora
from lab.data.batches import spans_of
from lab.models import counts
from lab.plan import grid

ARMS = {  # by name: objective, fields of its model, layers of a decoder of two
    "next token": ("next_token", {}, 1.0),
    "prefix": ("prefix", {"settings": {"prefix": True}}, 1.0),
    "masked": ("masked", {"settings": {"causal": False}}, 1.0),
    "spans": ("span_corruption", {}, 1.0),
    "spans, encoder": ("span_corruption", {"kind": "encoder_decoder"}, 0.5),
}


@dataclass(frozen=True)
class Size:
    """Rungs: (layers, width, heads), and the training FLOPs of every arm."""

    rungs: tuple[tuple[tuple[int, int, int], float], ...]
    seq_len: int
    batch_tokens: int
    rates: tuple[float, ...] = (1.5, 3.0)  # over the plain grid's rule
    seeds: int = 2
    windows: int = 2048  # of held-out text, scored
    labelled: int = 3000  # reviews that the probe learns from
    tested: int = 2000  # at most
    corpus: str = "movie-reviews"


SIZES = {
    "laptop": Size(
        (((2, 16, 1), 1.5e10), ((2, 24, 1), 6e10), ((2, 32, 1), 2.4e11)), seq_len=64, batch_tokens=1024
    ),
    "accelerator": Size(
        (((4, 128, 2), 1.5e14), ((6, 192, 3), 6e14), ((8, 256, 4), 2.4e15)),
        seq_len=256,
        batch_tokens=16_384,
        rates=(1.0, 2.0),
        labelled=10_000,
    ),
    "smoke": Size(
        (((2, 8, 1), 1e7), ((2, 12, 1), 2e7)),
        seq_len=16,
        batch_tokens=128,
        rates=(2.0,),
        windows=64,
        labelled=40,
        tested=40,
    ),
}


def runs(size: str = "laptop") -> list[RunConfig]:
    setup, cells = SIZES[size], []
    data = corpora.prepare(setup.corpus).data(max_epochs=4.0)
    vocab_size = 256 + spans_of(setup.seq_len)[2] + 1  # with the marks of spans, in all arms alike
    for (layers, width, heads), budget in setup.rungs:
        plain = ModelConfig(
            n_layer=layers, d_model=width, n_head=heads, vocab_size=vocab_size, seq_len=setup.seq_len
        )
        rule = shakespeare.rule(counts.count_params(plain).params)
        for objective, fields, share in ARMS.values():
            model = replace(plain, n_layer=round(share * layers), **fields)
            for times in setup.rates:
                rate = lambda model, tokens, r=times * rule: OptimConfig(learning_rate=r)  # noqa: E731
                cell = grid.isoflop({budget: [model]}, data=data, optim=rate, batch_tokens=setup.batch_tokens)
                cells += [replace(run, objective=objective) for run in cell]
    return [replace(run, seed=seed, data_seed=seed) for run in cells for seed in range(setup.seeds)]
