"""python -m bench.rates: what a rule of learning rates costs at four times the size and length.

Of the public grid of Li et al. 2025 (arXiv 2503.04715; SCALING_DATA/scalebench/lr_bsz_*.csv, 2,819 runs of
60 M to 1.07 B params on 2 to 100 B tokens) every cell of equal size, length and batch with five rates is
asked: the rule is fitted to the cells of a quarter of its size and of its length or less, at all batches. Its
rate lies between two that were tried: how far is the loss there, on the line between theirs, above the cell's
lowest?
"""

import argparse
import os
import warnings
from pathlib import Path

import numpy as np

from analysis.frontiers.rates import Rates, best_rates, cells_of
from analysis.tables import table
from analysis.tables.runs import Runs

NAMES = {
    "params": "non_embedding_param_size",
    "tokens": "data_size",
    "bsz": "bsz",
    "learning_rate": "lr",
    "loss": "lm_loss",
}
UP = 4.0  # times the size and the length of what the rule is fitted to
SAME = 1.02  # of counts that are a quarter to rounding
RATES = 5  # a cell that is asked has at least
WITHIN = 0.3  # per cent


def read(folder: Path) -> Runs:
    files = [folder / "scalebench" / f"lr_bsz_{part}.csv" for part in ("train", "test")]
    parts = [table.read(file, loss="lm_loss") for file in files]
    columns = {ours: np.concatenate([part.column(name) for part in parts]) for ours, name in NAMES.items()}
    return table.from_columns("lr_bsz", **columns).usable()


def rule_below(runs: Runs, place: dict[str, float]) -> Rates | None:
    """The rule of the runs of a quarter of the size and length, where there is one by all of them."""
    below = (UP * runs.params <= SAME * place["params"]) & (UP * runs.tokens <= SAME * place["tokens"])
    try:
        found = best_rates(runs.select(below))
    except ValueError:
        return None
    return found if found.rule and set(found.rule.inputs) == set(place) else None


def price(runs: Runs, rate: float) -> float:
    """By how many per cent the loss at a rate is above the lowest of a cell; nan outside the rates tried."""
    order = np.argsort(runs.column("learning_rate"))
    rates, logs = np.log(runs.column("learning_rate")[order]), np.log(runs.loss[order])
    return 100 * float(np.interp(np.log(rate), rates, logs, left=np.nan, right=np.nan) - logs.min())


def main() -> None:
    argparse.ArgumentParser(description=__doc__.split("\n")[0]).parse_args()
    warnings.simplefilter("ignore")
    runs, rules, asked = read(Path(os.environ["SCALING_DATA"])), {}, []
    for place, rows in cells_of(runs, "learning_rate"):
        if len(np.unique(runs.column("learning_rate")[rows])) < RATES:
            continue
        key = place["params"], place["tokens"]
        rules[key] = rules[key] if key in rules else rule_below(runs, place)
        if rules[key] is None:
            continue
        band, own = rules[key].rule.at(place), runs.select(rows)
        best = own.column("learning_rate")[np.argmin(own.loss)]
        asked.append((place["bsz"], band.value / best, price(own, band.value), band.low <= best <= band.high))
        words = ", ".join(f"{name} {value:.3g}" for name, value in place.items())
        print(f"{words}: {asked[-1][1]:.2f} times the best tried, {asked[-1][2]:.2f} % above", flush=True)
    batch, factor, above, inside = np.array(asked).T
    middle, spread = np.exp([np.median(np.log(factor)), np.std(np.log(factor))])
    print(
        f"{len(asked)} cells, {100 * np.mean(above <= WITHIN):.0f} % within {WITHIN} %, median "
        f"{np.nanmedian(above):.2f} %; the rate is {middle:.2f} times the best tried, spread by {spread:.2f} "
        f"times; {100 * np.mean(inside):.0f} % of intervals hold that"
    )
    for name, part in (("under 256", batch < 256), ("256 and over", batch >= 256)):
        print(f"  batches {name}: {np.sum(above[part] <= WITHIN)} of {part.sum()} within {WITHIN} %")


if __name__ == "__main__":
    main()
