"""How many times the compute of a Transformer are an LSTM, a GRU, a gated linear recurrence, a causal
Mixer and a MegaByte worth, each at its own best rate?

Question: on Shakespeare as bytes with a context of 64, along four sizes, who ends lower at equal FLOPs,
          and does what separates them grow with size?
Command:  python -m lab run experiments.architectures
Cost:     210 runs, 1.5e13 FLOPs, about 15 minutes on two cores
Answer:   expected: the LSTM and the GRU ahead on the smallest rung and level with the Transformer on the
          largest (Kaplan et al. 2020, figure 7: they fall behind in long contexts, and 64 is short), worth
          .8 to 1.5 times the compute; the gated linear recurrence between them; the Mixer, whose weights
          hang on positions, behind at .3 to .7; MegaByte behind at .4 to .8, since its patches save
          the attention that a context of 64 hardly costs

Six arms by the same FLOPs on a rung, each counted off its own program; width and depth as the dense
Transformer's of the rung. Five rates a rung, half to eight times the plain grid's rule, all arms alike; two
seeds on all rungs but the last. The highest rate and the third rung were added when 8 of 18 best rates
were the highest of four and three rungs told little. On a CPU a recurrent model of equal FLOPs takes several
times as long: this says what FLOPs buy and not what time does.
"""

from pathlib import Path

from analysis.tables import table
from experiments.reports import arms
from lab.config import RunConfig
from lab.store.store import Store

RATES = (0.5, 1.0, 2.0, 4.0, 8.0)  # times the rule
LADDER = [*arms.LADDER[:2], ((2, 28, 1), 1e11), arms.LADDER[2]]
KINDS = "lstm", "gru", "hgrn", "mixer", "megabyte"
ARMS = "kind", "transformer"


def runs() -> list[RunConfig]:
    return arms.runs([({}, {}), *(({"kind": kind}, {}) for kind in KINDS)], RATES, LADDER)


def answer(path: Path) -> list[str]:
    return arms.answer(table.read(path), *ARMS, RATES)


def report(store: Store, out: Path, configs: list[RunConfig] | None = None) -> None:
    arms.report("architectures", store, out, configs or runs, answer, ARMS, changed=bool(configs))
