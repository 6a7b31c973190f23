"""What do Kneser and Ney's n-grams and the network of Bengio et al. (2003) tell beside what came after them?

Question: on Shakespeare as bytes, which losses do n-grams of one to seven bytes reach by counting, and along
          four rungs of equal FLOPs, how many times the compute of a Transformer is a feed-forward network
          over the last sixteen bytes worth, at its own best rate?
Command:  python -m lab run experiments.classics
Cost:     35 runs, 2.5e12 FLOPs, about 2 minutes on two cores, and some seconds of counting
Answer:   expected: n-grams fall until five or six bytes, to 1.5 to 1.6 nats, which no network here reaches
          before 1e13 FLOPs: those of four bytes and more tell more than any run of these rungs. The network
          of 2003 is ahead of the Transformer on the smallest rung and behind on the largest, worth .3 to .8
          times its compute there, with sixteen bytes against sixty-four; there it is ahead of bigrams and
          about as good as trigrams

The rungs, rates and seeds are those of experiments.architectures, whose table holds the other arms. A feature
vector has half the rung's width and the hidden layer twice it; there are no direct connections. N-grams are
interpolated with one discount for each length, and cost no products: they stand as levels. Their losses were
known when this was written, not those of any run.

Refused: the network is not ahead on the smallest rung nor clearly behind on the largest, where it is worth as
much as the Transformer, as far as two seeds tell, and ahead of trigrams.
"""

from pathlib import Path

import numpy as np

from analysis.decisions.compare import Comparison
from analysis.tables import table
from analysis.tables.identity import best_of
from analysis.tables.runs import Runs
from experiments import architectures
from experiments.reports import arms, figures, tables
from experiments.reports.shakespeare import CORPORA
from lab.config import RunConfig
from lab.data import corpora, kneser_ney
from lab.store.store import Store

ORDERS = 7
MODEL = f"{Path(__file__).parent / 'own' / 'bengio2003.py'}:Net"
NAME, BESIDE = "bengio2003", ("transformer", "gru", "lstm")


def runs() -> list[RunConfig]:
    return arms.runs([({"kind": MODEL}, {})], architectures.RATES, architectures.LADDER)


def count(path: Path) -> None:
    """The loss of n-grams of every order on the held-out text, counted anew."""
    corpus = corpora.prepare_first(CORPORA)
    train, held_out = (np.asarray(part) for part in (corpus.train, corpus.held_out))
    orders = range(1, ORDERS + 1)
    nats = [float(kneser_ney.nats(train, held_out, corpus.vocab_size, order).mean()) for order in orders]
    rows = [{"order": n, "loss": f"{loss:.6f}"} for n, loss in zip(orders, nats, strict=True)]
    tables.write_lines(path, rows)


def beside(path: Path) -> Path:
    """Where the n-grams of a table lie."""
    return path.with_name(f"{path.stem}-ngrams.csv")


def levels(path: Path) -> dict[int, float]:
    """The losses of n-grams by their order, nats a byte."""
    return {int(line["order"]): float(line["loss"]) for line in tables.lines_of(beside(path))}


def ladders(path: Path) -> dict[str, Runs]:
    """By name the best run of each arm on every rung and seed, this table's first."""
    others = best_of(table.read(tables.kept("architectures")), "kind,budget,seed").usable().by("kind")
    own = best_of(table.read(path), "budget,seed").usable()
    every = {NAME: own, **{name: others[name] for name in BESIDE}}
    return {name: table.from_columns(name, flops=runs.flops, loss=runs.loss) for name, runs in every.items()}


def compared(path: Path) -> list[Comparison]:
    best = ladders(path)
    return arms.against({name: best[name] for name in ("transformer", NAME)}, "transformer", 0.95)


def answer(path: Path) -> list[str]:
    (found,), grams, best = compared(path), levels(path), ladders(path)
    least = min(grams, key=grams.get)
    rungs = np.unique(np.round(np.log(best[NAME].flops), 1))
    lines = []
    for rung in rungs:
        at = {name: runs.loss[abs(np.log(runs.flops) - rung) < 0.3].mean() for name, runs in best.items()}
        lines.append(
            f"{np.exp(rung):.2g} FLOPs: {', '.join(f'{name} {loss:.4f}' for name, loss in at.items())}"
        )
    top = best["transformer"].loss.min()
    ahead = min(order for order, loss in grams.items() if loss < top)
    worth = found.answer.compute
    return [
        f"{least}-grams {grams[least]:.3f} nats/byte; {NAME} worth {worth.value:.2g} "
        f"({worth.low:.2g} to {worth.high:.2g}) times a Transformer's compute",
        found.headline,
        f"by n-grams of 1 to {max(grams)} bytes: {', '.join(f'{loss:.3f}' for loss in grams.values())}",
        *lines,
        f"n-grams of {ahead} bytes and more are ahead of every run here, the Transformer's best is {top:.3f}",
    ]


def report(store: Store, out: Path, configs: list[RunConfig] | None = None) -> None:
    """runs.csv, runs-ngrams.csv, classics.png, and the answer on the screen."""
    path = tables.table_of("classics", store, configs or runs, out, CORPORA, changed=bool(configs))
    try:
        count(beside(path))
    except corpora.CorpusError:  # without its text those that were committed
        tables.write_lines(beside(path), tables.lines_of(tables.kept("classics-ngrams")))
    print("\n".join(answer(path)))
    figures.classics(ladders(path), levels(path)).savefig(out / "classics.png")
    print(f"figure in {out}")
