"""How many times the compute of a dense Transformer are 4, 8 and 16 experts worth, at equal active FLOPs?

Question: on Shakespeare as bytes, along three sizes, does a feed-forward part of 4, 8 or 16 experts of half
          its width, two of them for each token, end lower than the dense one that costs as much; does that
          grow with the experts and wear off with size, as the law of routed models has it?
Command:  python -m lab run experiments.experts   (:accelerator)
Cost:     laptop: 64 runs, 4.8e12 FLOPs, about 5 minutes on two cores;
          accelerator: 96 runs, 2.1e15 FLOPs
Answer:   expected: the experts ahead on the largest rung by half a per cent to two per cent, worth
          1.1 to 1.3 times the compute; on the smallest, of 190 updates, not ahead. The best rate stays where
          the dense model has it. On a CPU, which multiplies with every expert, they take three times as
          long: worth it in FLOPs and not in time. Of 4 and 16 experts, and a fourth rung, asked next (8 on
          three rungs were known): more experts worth more on every rung, 4 about 1.1 to 1.4 and 16 about 1.5
          to 2 times the compute on the largest; in the law of Clark et al. (2022) delta is clear of 0 and
          zeta above it, the gain wearing off with size, with an interval that holds 0: four sizes lie within
          a factor of five

All arms spend the same FLOPs on a rung, the router's counted. Four rates a rung, half to four times the
plain grid's rule, all arms alike (the last was added when the best were the highest of three); two seeds on
all rungs but the last. Eight experts hold 2.3 times the weights of the dense model on the largest. On a CPU
16 experts cost eight times their FLOPs: 4 and 16 have all rungs but the smallest, and the fourth was left
out. Tokens grow with size along the rungs, so the law's exponents are those of this ladder and not of one
length of training. Experts are counted as X = E / 2, how many times a token's own there are, and the law has
no floor and no saturation, as Clark et al. fit it first: log L = a - alpha log N - (delta - zeta log N) log
X.

Refused: that more experts are worth more, as far as these runs tell: each number is ahead of the dense model
on every rung, and which is most differs by rung; the intervals of 4 and 16, of two rungs each, say next to
nothing. delta is not clear of 0. The published direction, ahead at equal FLOPs and less so with size, comes
back in the values (the law's exponent of X falls from the smallest size to none at the largest), and its
intervals hold none at either end: three sizes within a factor of five are too few.
"""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from analysis import fitting
from analysis.laws import LAWS
from analysis.tables import table
from analysis.tables.identity import best_of
from analysis.tables.runs import Runs
from experiments.reports import arms, figures_shapes, shakespeare, tables
from lab.config import RunConfig
from lab.store.store import Store

RATES = (0.5, 1.0, 2.0, 4.0)  # times the rule
TOP = 2  # experts of a token, each of half the dense width
EXPERTS = 4, 8, 16
SIZES = {  # a rung: (layers, width, heads), and the training FLOPs that every arm spends on it
    "laptop": arms.LADDER,
    "accelerator": [((2, 48, 1), 1e12), ((3, 64, 1), 5e12), ((4, 96, 2), 2e13), ((4, 128, 2), 8e13)],
}
ARMS = "arm", "dense"
PLAIN = {"E": 0.0, "few": 1.0, "many": 1e6}  # no floor, no saturation


def runs(size: str = "laptop") -> list[RunConfig]:
    """8 experts on every rung; the others, which cost most, on all but the smallest."""
    mixed = {number: {"kind": "moe", "share": TOP, "settings": {"experts": number}} for number in EXPERTS}
    del mixed[8]["settings"]  # as it comes
    eight = ({}, {}), (mixed.pop(8), {})
    more = [(each, {}) for each in mixed.values()]
    return arms.runs(eight, RATES, SIZES[size]) + arms.runs(more, RATES, SIZES[size][1:])


def read(path: Path) -> Runs:
    """A table's runs, with what arm each is of and how many times a token's own experts there are."""
    found = table.read(path)
    own = [json.loads(line["settings"] or "{}").get("experts", 8) for line in tables.lines_of(path)]
    mixed = found.column("kind") == "moe"
    names = [f"{number} experts" if moe else "dense" for moe, number in zip(mixed, own, strict=True)]
    more = {"arm": np.array(names, object), "n_experts": np.where(mixed, np.array(own) / TOP, 1.0)}
    return replace(found, columns=dict(found.columns) | more)


def law(rows: Runs) -> fitting.Fit:
    """The law of routed models, of the best rate of each arm, rung and seed, with intervals."""
    best = best_of(rows, "arm,budget,seed").usable()
    columns = {name: best.column(name) for name in ("params", "n_experts", "loss")}
    own = table.from_columns("experts", **columns)
    return fitting.intervals(fitting.fit(LAWS["experts"], own, fixed=PLAIN))


def answer(path: Path) -> list[str]:
    rows = read(path)
    fitted, sizes = law(rows), np.unique(rows.params[rows.column("arm") == "dense"])
    out = arms.answer(rows, *ARMS, RATES)
    for each in arms.comparisons(rows, *ARMS):
        words = [f"{b.compute.value:.2g} ({b.compute.low:.2g}, {b.compute.high:.2g})" for b in each.budgets]
        out.append(f"{each.arm}, times the compute by rung, smallest first: {', '.join(words)}")
    says = ", ".join(
        "{} {:.3g} ({:.3g}, {:.3g})".format(name, getattr(fitted.law, name), *fitted.interval(name))
        for name in ("alpha", "delta", "zeta")
    )
    out.append(f"law of routed models, {fitted.status}: {says}")
    for params in sizes[[0, -1]]:
        low, high = fitted.band(lambda law, n=params: np.atleast_1d(law.delta - law.zeta * np.log(n)))
        value = fitted.law.delta - fitted.law.zeta * np.log(params)
        words = f"{value:.3f} ({low[0]:.3f}, {high[0]:.3f})"
        out.append(f"N={params:,.0f}: loss falls with X to the power {words}")
    return out


def report(store: Store, out: Path, size: str = "laptop", configs: list[RunConfig] | None = None) -> None:
    """runs.csv, experts.png, and the answer on the screen."""
    name, grid_of = tables.name_of("experts", size), configs or partial(runs, size)
    path = tables.table_of(name, store, grid_of, out, shakespeare.CORPORA, changed=bool(configs))
    print("\n".join(answer(path)))
    rows = read(path)
    figures_shapes.experts(arms.comparisons(rows, *ARMS), rows, law(rows)).savefig(out / "experts.png")
    print(f"figure in {out}")
