"""How many times the compute of a dense Transformer are eight experts worth, at equal active FLOPs?

Question: on Shakespeare as bytes, along three sizes, does a feed-forward part of eight experts of half its
          width, two of them for each token, end lower than the dense one that costs as much?
Command:  python -m lab run experiments.experts
Cost:     40 runs, 2.5e12 FLOPs, about 3 minutes on two cores
Answer:   expected: the experts ahead on the largest rung by half a per cent to two per cent, worth
          1.1 to 1.3 times the compute; on the smallest, of 190 updates, not ahead. The best rate stays where
          the dense model has it. On a CPU, which multiplies with every expert, they take three times as
          long: worth it in FLOPs and not in time. Of 4 and 16 experts, and a fourth rung, asked next (8 on
          three rungs were known): more experts worth more on every rung, 4 about 1.1 to 1.4 and 16 about 1.5
          to 2 times the compute on the largest; in the law of Clark et al. (2022) delta is clear of 0 and
          zeta above it, the gain wearing off with size, with an interval that holds 0: four sizes lie within
          a factor of five

Both arms spend the same FLOPs on a rung, the router's counted. Four rates a rung, half to four times the
plain grid's rule, both arms alike (the last was added when the best were the highest of three); two seeds
on all rungs but the last. The experts hold 2.3 times the weights of the dense model on the largest.
"""

from pathlib import Path

from experiments.reports import arms
from lab.config import RunConfig
from lab.store.store import Store

RATES = (0.5, 1.0, 2.0, 4.0)  # times the rule
ARMS = "kind", "transformer"


def runs() -> list[RunConfig]:
    return arms.runs([({}, {}), ({"kind": "moe", "share": 2}, {})], RATES)


def answer(path: Path) -> list[str]:
    return arms.answer(path, *ARMS, RATES)


def report(store: Store, out: Path, configs: list[RunConfig] | None = None) -> None:
    arms.report("experts", store, out, configs or runs, answer, ARMS, changed=bool(configs))
