"""Kaplan et al. 2020, "Scaling Laws for Neural Language Models" (arXiv 2001.08361).

No runs were published, so these are identities: what the paper derives from its own constants, done
again. Its parameters leave embeddings out, its compute is in PF-days.
"""

import numpy as np

from analysis.laws import Array
from analysis.laws.published import (
    KAPLAN_BATCH,
    KAPLAN_C,
    KAPLAN_CLAIMS,
    KAPLAN_CMIN,
    KAPLAN_D,
    KAPLAN_N,
    KAPLAN_OPT,
    Published,
)
from analysis.papers import kaplan_figures
from analysis.papers.claims import Data, Paper
from analysis.papers.kaplan_laws import JOINT, SEED, STEPS, frontier, loss_at_batch, power, tokens_within

BATCH = 2**19  # tokens a step in the paper's runs (section 2.2)


def reproduce(data: Data) -> Paper:
    paper = Paper("kaplan2020")
    allocation(paper)
    overfitting(paper)
    batch(paper)
    curves(paper)
    paper.figures = {"kaplan2020_laws": kaplan_figures.laws, "kaplan2020_joint": kaplan_figures.joint}
    return paper


def allocation(paper: Paper) -> None:
    """How the efficient size, batch and steps grow follows from three fitted exponents."""
    check, alpha_B = paper.check, KAPLAN_BATCH["alpha"].value
    alpha = 1 / (1 / STEPS.alpha_N + 1 / alpha_B + 1 / STEPS.alpha_S)
    measured, size = KAPLAN_CMIN["alpha"], KAPLAN_N["alpha"].value
    opt = {name: entry.value for name, entry in KAPLAN_OPT.items()}
    why = "printed to two digits, and each exponent of the formula too"
    check("alpha_C predicted from alpha_N, alpha_S, alpha_B", KAPLAN_CLAIMS["alpha_C"], alpha, 0.002, why)
    off = "5 % off by the paper's own account"
    check("alpha_C predicted, beside the one measured", measured, alpha, 0.005, off)
    predicted = KAPLAN_CLAIMS["alpha_C"].value / size
    check("N exponent predicted", KAPLAN_CLAIMS["N_predicted"], predicted, 0.01, why)
    check("B exponent = alpha_C / alpha_B", KAPLAN_OPT["B"], measured.value / alpha_B, 0.01, why)
    why, one = "three numbers rounded to 0.01", Published(1.0, "C = 6NBS")
    check("N, B and S exponents sum to one, as C = 6NBS", one, sum(opt[n] for n in "NBS"), 0.015, why)
    why = "two numbers rounded to 0.01"
    check("D exponent = B + S exponents", KAPLAN_OPT["D"], opt["B"] + opt["S"], 0.01, why)
    claim = "excess loss where efficient training stops, alpha_N / alpha_S"
    check(claim, KAPLAN_CLAIMS["excess"], STEPS.alpha_N / STEPS.alpha_S, 0.005, "printed as 10 %")
    why = "another paper's rounding; 0.01 in the exponent is 2.3 %"
    for name in "ND":
        entry, ours = KAPLAN_CLAIMS[f"{name}_for_10x"], 10 ** opt[name]
        check(f"growth of {name} for 10 × compute", entry, ours, percent=4, why=why)


def overfitting(paper: Paper) -> None:
    """Tokens that keep a size from overfitting, from L(N, D)."""
    sizes = np.array([1e6, 8e6])
    tokens = tokens_within(JOINT, sizes, SEED)
    growth, exponent = tokens[1] / tokens[0], KAPLAN_CLAIMS["data_exponent"]
    claim, slope = "exponent of the tokens that avoid overfitting", np.log(growth) / np.log(8)
    paper.check(claim, exponent, slope, 0.005, "printed to two digits")
    claim, factor = "factor of the tokens that avoid overfitting", tokens[0] / sizes[0] ** exponent.value
    paper.check(claim, KAPLAN_CLAIMS["data_factor"], factor, percent=10, why="printed to one digit")
    claim = "growth of data for 8 × the parameters"
    paper.check(claim, KAPLAN_CLAIMS["data_for_8x"], growth, 0.5, "printed to one digit")


def batch(paper: Paper) -> None:
    alpha = KAPLAN_BATCH["alpha"].value
    claim, entry = "power of the loss in the critical batch", KAPLAN_CLAIMS["batch_power"]
    paper.check(claim, entry, 1 / alpha, 0.05, "printed to one decimal")
    claim, entry = "fall of the loss that doubles the critical batch", KAPLAN_CLAIMS["batch_doubling"]
    paper.check(claim, entry, 1 - 2**-alpha, 0.006, "printed as 13 %")


def curves(paper: Paper) -> None:
    """Separate fits of the paper tell the same losses."""

    def largest_ratio(ours: Array, theirs: Array) -> float:
        return float(np.exp(np.abs(np.log(ours / theirs)).max()))

    params, tokens = np.geomspace(1e3, 1.5e9, 50), np.geomspace(2e7, 2.2e10, 50)
    paper.check(
        "largest ratio of L(N, D = infinity) and L(N)",
        Published(1.0, "Kaplan 2020 eq. 1.1 against eq. 1.5", "768 to 1.5e9 parameters"),
        largest_ratio(JOINT.loss(params, np.inf), power(KAPLAN_N).loss(params)),
        2 * SEED,
        "twice the spread of seeds, 2 %",
    )
    paper.check(
        "largest ratio of L(N = infinity, D) and L(D)",
        Published(1.0, "Kaplan 2020 eq. 1.2 against eq. 1.5", "2e7 to 2.2e10 tokens"),
        largest_ratio(JOINT.loss(np.inf, tokens), power(KAPLAN_D).loss(tokens)),
        3 * SEED,
        "three times the spread of seeds; L(D) was measured at a finite size, which lifts it at the far end",
    )
    loss, compute = frontier(STEPS, params[params > 1e4])
    seen = (compute > 1e-6) & (compute < 10)
    paper.check(
        "largest ratio of the frontier of L(N, S) and L(C_min)",
        Published(1.0, "Kaplan 2020 eq. 1.3 against eq. 1.6", "1e-6 to 10 PF-days"),
        largest_ratio(loss[seen], power(KAPLAN_CMIN).loss(compute[seen])),
        0.1,
        "their exponents 0.052 and 0.050 part by 4 % over seven decades, and each carries the spread of "
        "seeds",
    )
    ends = np.array([1e-3, 10.0])
    loss = loss_at_batch(STEPS, ends, BATCH)
    paper.check(
        "exponent of L(C) at a fixed batch, from L(N, S) and the batch law",
        KAPLAN_C["alpha"],
        -np.log(loss[1] / loss[0]) / np.log(ends[1] / ends[0]),
        0.003,
        "no pure power: it falls by 0.001 when the range starts at 1e-2 PF-days; at the critical batch it is "
        "0.052",
    )
