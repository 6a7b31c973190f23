"""python -m bench.looks [--pairs 150] [--seed 1]: a comparison that stops when clear: errors and savings.

Pairs of ladders as in `bench.compare` (noise .2 to .8 %, half of the pairs share half of its variance) are
looked at as `lab compare --stop-when-clear` does, budgets spaced by 3. Arms are worth 1, 1.1, 1.3 and 2 times
the baseline's compute at all scales, or are `small`: better in small ladders, worth 1 at the largest budget.
Prints the rows of docs/compare.md: how many were told apart from 1, how many at a look before the last, FLOPs
saved, how far off the value is (median, middle 90 %) beside that of the whole ladder; writes nothing.
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from analysis.commands.compare import as_json
from analysis.commands.shared import clean
from analysis.decisions.compare import compare
from analysis.decisions.ladders import join
from analysis.laws import Chinchilla
from analysis.tables import table
from bench.compare import BASE, DESIGNS, NOISE, cells, multiple
from lab.plan.looks import EARLY, ERROR, Look, stop_reason

KINDS = ("1.0", "small", "1.1", "1.3", "2.0")
DRIFT = 0.93  # of the exponents of an arm that is better when small


def arm_law(kind: str, top: float) -> Chinchilla:
    """Of an arm worth so many times the compute at all scales; or better below `top` FLOPs alone."""
    if kind != "small":
        side = float(kind) ** 0.5
        return replace(BASE, A=BASE.A * side**-BASE.alpha, B=BASE.B * side**-BASE.beta)
    alpha, beta = BASE.alpha * DRIFT, BASE.beta * DRIFT
    n, d = BASE.optimum(top)
    scale = {"A": BASE.A * n ** (alpha - BASE.alpha), "B": BASE.B * d ** (beta - BASE.beta)}
    return replace(BASE, alpha=alpha, beta=beta, **scale)


def simulate(design: int, kind: str, pairs: int, seed: int) -> Iterator[tuple[bool, float, float, float]]:
    """(whether 1 was left out at the end, the share of FLOPs at which it stopped, log of κ there over the
    truth, and of the whole ladder) of each pair."""
    budgets, sizes = DESIGNS[design]
    n, d = cells(budgets, sizes)
    top, budget = 6 * float((n * d).max()), np.repeat(np.arange(budgets), sizes)
    law, rng = arm_law(kind, top), np.random.default_rng([seed, design, sum(kind.encode())])
    truth, ends = np.log(multiple(law, top)), range(max(2, budgets - 2), budgets + 1)
    spent = np.cumsum(3.0 ** np.arange(budgets))
    for i in range(pairs):
        noise, shared, common = NOISE[i % 3], (0.0, 0.5)[i // 3 % 2], rng.standard_normal(len(n))
        luck = [np.sqrt(shared) * common + np.sqrt(1 - shared) * rng.standard_normal(len(n)) for _ in "ab"]
        loss = [each.loss(n, d) * np.exp(noise * own) for each, own in zip((BASE, law), luck, strict=True)]
        found, stopped = [], None
        for number, end in enumerate(ends, 1):
            look, of = Look(number, len(ends), [], spent[end - 1] / spent[-1]), budget < end
            arms = [
                table.from_columns("drawn", params=n[of], tokens=d[of], flops=6 * (n * d)[of], loss=own[of])
                for own in loss
            ]
            each = compare(join(*arms, ("base", "arm")), at=[top], draws=1000, level=look.level)
            found.append(each.budgets[-1].compute)
            if stopped is None and (look.last or stop_reason(clean(as_json(each)), None)):
                stopped = look
        ended, whole = found[stopped.number - 1], found[-1]
        off = [float(np.log(kappa.value) - truth) for kappa in (ended, whole)]
        yield not ended.low <= 1 <= ended.high, stopped.share, *off


def spread(values: np.ndarray) -> str:
    low, middle, high = 100 * np.expm1(np.quantile(values, (0.05, 0.5, 0.95)))
    return f"{middle:+.1f} % ({low:+.0f} to {high:+.0f})"


def main() -> None:
    top = argparse.ArgumentParser(prog="python -m bench.looks", description=__doc__.split("\n")[0])
    top.add_argument("--pairs", type=int, default=150, metavar="N", help="of each design and arm")
    top.add_argument("--seed", type=int, default=1)
    top.add_argument("--only", choices=KINDS, action="append")
    options = top.parse_args()
    print(f"a look before the last takes {EARLY:g} of the error, all together {ERROR:g}")
    print(
        "| cells an arm | worth | pairs | told apart | stopped | FLOPs saved | value off | whole ladder's |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for design in DESIGNS:
        for kind in options.only or KINDS:
            told, share, off, whole = map(
                np.array, zip(*simulate(design, kind, options.pairs, options.seed), strict=True)
            )
            cells = (
                f"{100 * told.mean():.1f} %",
                f"{100 * (share < 1).mean():.0f} %",
                f"{100 * (1 - share.mean()):.0f} %",
            )
            words = design, kind, len(told), *cells, spread(off), spread(whole)
            print(f"| {' | '.join(map(str, words))} |", flush=True)


if __name__ == "__main__":
    main()
