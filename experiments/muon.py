"""How many times the compute of AdamW is Muon worth, each at its own best rate?

Question: on Shakespeare as bytes, along three sizes trained at 26 to 39 tokens a weight, does Muon on the
          hidden matrices (AdamW elsewhere) save compute against AdamW, and does the saving grow?
Command:  python -m lab run experiments.muon
Cost:     50 runs, 3.1e12 FLOPs, about 2 minutes on two cores
Answer:   expected: Muon ahead on every rung, worth 1.2 to 1.6 times the compute (Liu et al. 2025 report
          about 2 at a hundred million weights and more; here fewer of the weights are hidden matrices),
          and no drift with size that three sizes could show. Best rates within a factor 2 of AdamW's, since
          Muon's updates are scaled to AdamW's size

Five rates a rung, half to eight times the plain grid's rule, both arms alike (the last was added when
Muon's best were the highest of four); two seeds on all rungs but the last. FLOPs count the model alone:
what Muon spends on making updates orthogonal is no part of them.
"""

from pathlib import Path

from analysis.tables import table
from experiments.reports import arms
from lab.config import RunConfig
from lab.store.store import Store

RATES = (0.5, 1.0, 2.0, 4.0, 8.0)  # times the rule
ARMS = "optimizer", "adamw"


def runs() -> list[RunConfig]:
    return arms.runs([({}, {}), ({}, {"optimizer": "muon"})], RATES)


def answer(path: Path) -> list[str]:
    return arms.answer(table.read(path), *ARMS, RATES)


def report(store: Store, out: Path, configs: list[RunConfig] | None = None) -> None:
    arms.report("muon", store, out, configs or runs, answer, ARMS, changed=bool(configs))
