"""Constants that papers printed, each with its source and the convention it is in.

`status` says how a number came here: `paper` (read there), `tex` (unrounded, in the paper's TeX
source), `derived` (arithmetic on numbers of the paper), `recomputed` (not printed there; an
independent refit of the paper's points), `memory` (not read again: check before quoting).
"""

from dataclasses import dataclass
from math import exp

from analysis.laws import Chinchilla


@dataclass(frozen=True)
class Published:
    """One published number. `low` and `high` are the interval that `interval` describes."""

    value: float
    source: str
    convention: str = ""
    low: float | None = None
    high: float | None = None
    interval: str = ""
    se: float | None = None  # standard error, where the paper gives one
    status: str = "paper"

    def __str__(self) -> str:
        words = f"{self.source}, {self.convention}" if self.convention else self.source
        return words if self.status in ("paper", "tex") else f"{words} [{self.status}]"


def law(constants: dict[str, Published]) -> Chinchilla:
    """The Chinchilla law of a table of constants that holds E, A, B, alpha and beta."""
    return Chinchilla(**{name: constants[name].value for name in Chinchilla.names()})


def _group(source: str, convention: str, values: dict[str, float], status: str = "paper"):
    return {k: Published(v, source, convention, status=status) for k, v in values.items()}


# --- Hoffmann et al. 2022, arXiv 2203.15556: params with embeddings, flops = 6·params·tokens
_H = "Hoffmann 2022"
_SIX = "all parameters, C = 6ND"
HOFFMANN = _group(f"{_H} eq. 10", _SIX, {"E": 1.69, "A": 406.4, "B": 410.7, "alpha": 0.34, "beta": 0.28})
HOFFMANN_TEX = _group(
    f"{_H}, TeX source",
    _SIX,
    {"E": 1.6934, "A": exp(6.0073404), "B": exp(6.0179186), "alpha": 0.33917084, "beta": 0.2849083},
    "tex",
)
HOFFMANN_EXPONENTS = {
    (approach, name): Published(value, f"{_H} Table 2", _SIX, low, high, "10-90 %")
    for approach, name, value, low, high in (
        (1, "a", 0.50, 0.488, 0.502),
        (1, "b", 0.50, 0.501, 0.512),
        (2, "a", 0.49, 0.462, 0.534),
        (2, "b", 0.51, 0.483, 0.529),
        (3, "a", 0.46, 0.454, 0.455),
        (3, "b", 0.54, 0.542, 0.543),
    )
}
GOPHER_FLOPS = Published(5.76e23, f"{_H} Table 3", "training FLOPs of Gopher and Chinchilla")
CHINCHILLA_RATIO = Published(20.0, f"{_H} section 4", "1.4 T tokens over 70 B parameters")
CHINCHILLA_PARAMS = Published(70e9, f"{_H} section 4", "the model Chinchilla")
CHINCHILLA_TOKENS = Published(1.4e12, f"{_H} section 4", "the model Chinchilla")
APPROACH2_PARAMS = Published(63e9, f"{_H} Figure 3", _SIX, status="memory")
APPROACH2_TOKENS = Published(1.4e12, f"{_H} Figure 3", _SIX, status="memory")
APPROACH3_PARAMS = Published(40e9, f"{_H} Figure 4", _SIX)
TABLE_3 = {  # parameters -> FLOPs for which that size is the best, by approach 1; its ends
    params: Published(flops, f"{_H} Table 3", _SIX)
    for params, flops in {400e6: 1.92e19, 10e12: 1.30e28}.items()
}
_TABLE_A3 = {  # parameters -> (FLOPs, tokens) at which that size is the best, by approach 2 and by 3
    400e6: ((1.84e19, 7.7e9), (2.21e19, 9.2e9)),
    1e9: ((1.20e20, 20.0e9), (1.62e20, 27.1e9)),
    10e9: ((1.32e22, 219.5e9), (2.46e22, 410.1e9)),
    67e9: ((6.88e23, 1.7e12), (1.71e24, 4.1e12)),
    175e9: ((4.54e24, 4.3e12), (1.26e24, 12.0e12)),
    280e9: ((1.18e25, 7.1e12), (3.52e25, 20.1e12)),
    520e9: ((4.19e25, 13.4e12), (1.36e26, 43.5e12)),
    1e12: ((1.59e26, 26.5e12), (5.65e26, 94.1e12)),
    10e12: ((1.75e28, 292.0e12), (8.55e28, 1425.5e12)),
}
TABLE_A3 = {  # by approach
    approach: {
        params: tuple(Published(v, f"{_H} Table A3, approach {approach}", _SIX) for v in rows[approach - 2])
        for params, rows in _TABLE_A3.items()
    }
    for approach in (2, 3)
}
TABLE_A9 = {  # row of the table -> parameters; six of the 50, evenly spread
    row: Published(params, f"{_H} Table A9", "with one embedding")
    for row, params in {0: 44e6, 9: 196e6, 19: 632e6, 29: 1593e6, 39: 3802e6, 49: 16183e6}.items()
}
TABLE_A4 = [  # (size as printed there, exact training FLOPs over 6ND)
    (size, Published(ratio, f"{_H} Table A4", "sequences of 2048"))
    for size, ratio in (
        ("73 M", 1.03),
        ("305 M", 1.10),
        ("552 M", 1.08),
        ("1.1 B", 1.04),
        ("1.6 B", 1.03),
        ("6.8 B", 0.99),
    )
]
HOFFMANN_VOCAB = Published(32_000, f"{_H} section 4.1", "SentencePiece vocabulary")
HOFFMANN_LENGTH = Published(2048, f"{_H} appendix F", "tokens in a sequence")

# --- Besiroglu et al. 2024, arXiv 2404.10102: the points of Hoffmann's Figure 4, 240 of 245
_B = "Besiroglu 2024 Table 1"
BESIROGLU = {
    name: Published(value, _B, _SIX, low, high, "95 % bootstrap", se)
    for name, value, low, high, se in (
        ("A", 482.01, 285.2, 743.6, 124.5),
        ("B", 2085.43, 1042.4, 5810.3, 1293.3),
        ("E", 1.8172, 1.769, 1.871, 0.0257),
        ("alpha", 0.3478, 0.317, 0.373, 0.0154),
        ("beta", 0.3658, 0.331, 0.415, 0.0206),
    )
}
BESIROGLU_EXPERIMENTS = Published(600_000, "Besiroglu 2024 abstract", '"over 600,000 experiments"')
OBJECTIVES = {
    name: Published(value, "sum of Huber(log residual), delta 1e-3, 240 points", what, status="recomputed")
    for name, value, what in (
        ("minimum", 0.00101827402, "its minimum"),
        ("hoffmann", 0.004121, "at Hoffmann's rounded constants"),
        ("hoffmann_tex", 0.001231, "at Hoffmann's unrounded constants"),
        ("besiroglu", 0.001023, "at Besiroglu's constants"),
    )
}

# --- Porian et al. 2024, arXiv 2406.19146: RefinedWeb, steps from Kaplan's study to Chinchilla's
PORIAN = {
    step: Published(
        value, "Porian 2024, repository fit_results", "each step's own counting", low, high, "95 % bootstrap"
    )
    for step, value, low, high in (
        ("1_kaplan_repro", 0.835, 0.824, 0.846),
        ("2_count_head", 0.706, 0.691, 0.717),
        ("3_short_warmup", 0.602, 0.591, 0.617),
        ("4_cosine_matched", 0.571, 0.560, 0.589),
        ("5_tuned_const", 0.497, 0.491, 0.505),
    )
}

# --- Kaplan et al. 2020, arXiv 2001.08361: params without embeddings, compute in PF-days
_K = "Kaplan 2020"
PF_DAY = 1e15 * 24 * 3600  # FLOPs
KAPLAN_N = _group(f"{_K} eq. 1.1", "non-embedding parameters", {"alpha": 0.076, "c": 8.8e13})
KAPLAN_D = _group(f"{_K} eq. 1.2", "tokens", {"alpha": 0.095, "c": 5.4e13})
KAPLAN_C = _group(f"{_K} appendix A", "PF-days at a fixed batch", {"alpha": 0.057, "c": 1.6e7})
KAPLAN_CMIN = _group(f"{_K} eq. 1.3", "PF-days far below the critical batch", {"alpha": 0.050, "c": 3.1e8})
KAPLAN_ND = _group(
    f"{_K} Table 2",
    "non-embedding parameters, tokens",
    {"alpha_N": 0.076, "alpha_D": 0.103, "N_c": 6.4e13, "D_c": 1.8e13},
)
KAPLAN_NS = _group(
    f"{_K} Table 3",
    "non-embedding parameters, steps far above the critical batch",
    {"alpha_N": 0.077, "alpha_S": 0.76, "N_c": 6.5e13, "S_c": 2.1e3},
)
KAPLAN_BATCH = _group(f"{_K} eq. 5.3", "tokens", {"B": 2.1e8, "alpha": 0.21})
KAPLAN_OPT = _group(f"{_K} appendix A", "exponents in C_min", {"N": 0.73, "B": 0.24, "S": 0.03, "D": 0.27})
DISPUTED_EXPONENTS = {  # a of params ∝ flops^a, by paper
    "Kaplan 2020": KAPLAN_OPT["N"].value,
    "Hoffmann 2022": HOFFMANN_EXPONENTS[1, "a"].value,
}
KAPLAN_CLAIMS = {
    "data_exponent": Published(0.74, f"{_K} eq. 4.4", "D ∝ N^0.74 avoids overfitting"),
    "data_factor": Published(5e3, f"{_K} eq. 4.4", "D > 5e3·N^0.74"),
    "data_for_8x": Published(5.0, f"{_K} section 1.1", "8 × the parameters, 5 × the data"),
    "batch_power": Published(4.8, f"{_K} Figure 10", "B_crit ∝ L^-4.8"),
    "batch_doubling": Published(0.13, f"{_K} Figure 10", "B_crit doubles when loss falls 13 %"),
    "excess": Published(0.10, f"{_K} section 6", "efficient training stops 10 % above the limit"),
    "N_for_10x": Published(5.5, f"{_H} section 1, of Kaplan", "10 × compute, 5.5 × the parameters"),
    "D_for_10x": Published(1.8, f"{_H} section 1, of Kaplan", "10 × compute, 1.8 × the tokens"),
    "alpha_C": Published(0.054, f"{_K} eq. 6.4", "predicted from Table 3"),
    "N_predicted": Published(0.71, f"{_K} eq. 6.5", "predicted from Table 3"),
}

# --- Pearce & Song 2024, arXiv 2406.12907: non-embedding size and compute from Chinchilla's laws
_P = "Pearce & Song 2024"
PEARCE = {
    "besiroglu": Published(0.78, _P, "Besiroglu's constants, N and C without embeddings"),
    "hoffmann": Published(0.74, _P, "Hoffmann's constants, N and C without embeddings"),
}
PEARCE_OMEGA = Published(47491, f"{_P}, authors' code", "N_total = N + omega·N^(1/3)")
PEARCE_RANGE = (
    Published(790, _P, "smallest model, non-embedding", status="memory"),
    Published(1.58e9, _P, "largest model, non-embedding", status="memory"),
)

# --- Muennighoff et al. 2023, arXiv 2305.16264: C4, repeated data
_M = "Muennighoff 2023"
MUENNIGHOFF = {
    "R_D": Published(15.387756, _M, "repeats of data, e-folding"),
    "R_N": Published(5.309743, _M, "excess of parameters, e-folding"),
    "objective": Published(0.015825937, _M, "sum of Huber(log residual), delta 1e-3, 182 runs"),
    "four_epochs": Published(1.005, f"{_M} section 6", "8.7 B, 44 B unique of 178 B tokens"),
    "lower": Published(0.015804662, "the same objective's lowest point", "182 runs", status="recomputed"),
}
MUENNIGHOFF_LOGS = _group(
    f"{_M}, held fixed", "natural logarithms", {"A": 6.255414, "B": 7.3049974, "E": 0.6254804}
)
MUENNIGHOFF_ALPHA = Published(0.3526596, f"{_M}, held fixed", "alpha = beta")
MUENNIGHOFF_PRINTED = _group(f"{_M} appendix A", "as printed", {"A": 521.0, "B": 1488.0, "E": 1.87}, "memory")
