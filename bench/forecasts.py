"""python -m bench.forecasts [--below 8]: each law fitted to the small runs of a table, asked for the large.

Of every published table in SCALING_DATA the rows below an eighth of the largest compute are fitted, and the
rest forecast: by each law of params and tokens, and by `--law auto`, which sees the small rows alone.
Printed are the mean absolute error (MAPE) and the median signed error, in percent, positive where the
forecast is too high; for auto also how many of the rows its 95 % intervals of a new run hold. Writes
bench/results/forecasts.json; under a minute.
"""

import argparse
import json
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from analysis import fitting
from analysis.tables import table
from analysis.tables.runs import Runs

RESULTS = Path(__file__).parent / "results" / "forecasts.json"
LAWS = ("chinchilla", "joint", "kaplan-nd", "over-trained", "auto")


def tables(folder: Path) -> Iterator[tuple[str, Runs]]:
    """The published tables by name, each of one recipe: its usable rows."""
    yield "chinchilla_fig4", table.read(folder / "chinchilla_fig4.csv", where="outlier == 0").usable()
    whole = table.read(folder / "porian_rw_isoflops.csv")
    for name, runs in whole.by("experiment").items():
        yield f"porian_rw {name}", runs.usable()
    yield "datablations_c4", table.read(folder / "datablations_c4.csv").usable()


def split(runs: Runs, factor: float) -> tuple[Runs, Runs]:
    """The rows at the largest compute over `factor` or less, and the others."""
    small = runs.flops <= runs.flops.max() / factor * 1.001
    return runs.select(small), runs.select(~small)


def forecast(law: str, small: Runs, large: Runs) -> dict:
    """How far a law fitted to `small` is from `large`, in percent."""
    fitted = fitting.fit(law, small)
    if law == "auto":
        fitted = fitting.intervals(fitted, "auto", 200)
    said = fitting.predict(fitted, **{name: large.column(name) for name in fitted.inputs})
    error = 100 * (said.value / large.loss - 1)
    row = {"mape": float(np.mean(np.abs(error))), "signed": float(np.median(error)), "status": fitted.status}
    if law == "auto":
        row["form"] = fitted.forms[0].name
        row["inside"] = float(np.mean((said.run_low <= large.loss) & (large.loss <= said.run_high)))
    return row


def measure(folder: Path, factor: float) -> dict:
    """By table: how many rows were fitted and forecast, and each law's errors."""
    out = {}
    for name, runs in tables(folder):
        small, large = split(runs, factor)
        rows = {law: forecast(law, small, large) for law in LAWS}
        out[name] = {"fitted": len(small), "forecast": len(large), "laws": rows}
        print(line(name, out[name]), flush=True)
    return out


def line(name: str, row: dict) -> str:
    sizes = f"{row['fitted']} → {row['forecast']}"
    errors = [f"{one['mape']:6.2f} {one['signed']:+7.2f}" for one in row["laws"].values()]
    return f"{name:<36} {sizes:>9} " + "  ".join(errors) + f"  {100 * row['laws']['auto']['inside']:4.0f} %"


def means(tables: dict) -> str:
    """The mean over tables of each law's MAPE and signed error."""
    parts = []
    for law in LAWS:
        mape, signed = (
            np.mean([row["laws"][law][key] for row in tables.values()]) for key in ("mape", "signed")
        )
        parts.append(f"{mape:6.2f} {signed:+7.2f}")
    inside = 100 * np.mean([row["laws"]["auto"]["inside"] for row in tables.values()])
    return f"{'mean':<36} {'':>9} " + "  ".join(parts) + f"  {inside:4.0f} %"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--below", type=float, default=8.0, help="the largest compute over this is fitted (8)"
    )
    parser.add_argument("--json", type=Path, default=RESULTS)
    options = parser.parse_args()
    if "SCALING_DATA" not in os.environ:
        parser.error("SCALING_DATA names no folder of published tables (docs/papers.md)")
    warnings.simplefilter("ignore")
    print(f"{'MAPE, median signed error (%)':<46} " + "  ".join(f"{law:>14}" for law in LAWS) + "  inside")
    measured = measure(Path(os.environ["SCALING_DATA"]), options.below)
    print(means(measured))
    options.json.parent.mkdir(exist_ok=True)
    options.json.write_text(json.dumps({"below": options.below, "tables": measured}, indent=1) + "\n")


if __name__ == "__main__":
    main()
