"""How many times the compute of a Transformer are an LSTM, a GRU, a gated linear recurrence, a causal
Mixer and a MegaByte worth, each at its own best rate?

Question: on Shakespeare as bytes with a context of 64, along three sizes, who ends lower at equal FLOPs,
          and does what separates them grow with size?
Command:  python -m lab run experiments.architectures
Cost:     120 runs, 7.4e12 FLOPs, about 20 minutes on two cores
Answer:   expected: the LSTM and the GRU ahead on the smallest rung and level with the Transformer on the
          largest (Kaplan et al. 2020, figure 7: they fall behind in long contexts, and 64 is short), worth
          .8 to 1.5 times the compute; the gated linear recurrence between them; the Mixer, whose weights
          hang on positions, behind at .3 to .7; MegaByte behind at .4 to .8, since its patches save
          the attention that a context of 64 hardly costs

Six arms by the same FLOPs on a rung, each counted off its own program; width and depth as the dense
Transformer's of the rung. Four rates a rung, half to four times the plain grid's rule, all arms alike; two
seeds on all rungs but the last. On a CPU a recurrent model of equal FLOPs takes several times as long: this
says what FLOPs buy and not what time does.
"""

from pathlib import Path

from experiments.reports import arms
from lab.config import RunConfig
from lab.store.store import Store

RATES = (0.5, 1.0, 2.0, 4.0)  # times the rule
KINDS = "lstm", "gru", "hgrn", "mixer", "megabyte"
ARMS = "kind", "transformer"


def runs() -> list[RunConfig]:
    return arms.runs([({}, {}), *(({"kind": kind}, {}) for kind in KINDS)], RATES)


def answer(path: Path) -> list[str]:
    return arms.answer(path, *ARMS, RATES)


def report(store: Store, out: Path, configs: list[RunConfig] | None = None) -> None:
    arms.report("architectures", store, out, configs or runs, answer, ARMS, changed=bool(configs))
