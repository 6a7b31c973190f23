"""python -m bench.hindsight [--within 2]: what each law says today of the runs whose losses were sealed.

The kept table of every row of experiments/predictions.csv is fitted by each law and by `--law auto` as they
are now, and asked for the run that was sealed from it. The losses are known, so this is no forecast, and the
rows stay as they are. Printed are errors, measured over said less one in percent, as there: positive where
what is said is too low; whether auto's 95 % interval of a new run holds the loss, and whether it is refused
where an error of `--within` percent is asked for. Under a minute.
"""

import argparse
import json
import warnings
from pathlib import Path

import numpy as np

from analysis import decisions, fitting
from analysis.tables import table
from bench.forecasts import LAWS
from experiments.reports import sealed

LEDGER = Path("experiments/predictions.csv")


def ask_again(row: sealed.Row, measured: float, within: float) -> dict:
    """Each law's error in percent, and of auto whether the loss is inside and the forecast refused."""
    sealed.check_table(row, LEDGER)
    options = json.loads(row["options"])
    runs = table.read(LEDGER.parent / row["table"], where=options["where"])
    at = {name: float(row[name]) for name in ("params", "tokens", "flops")}
    out = {}
    for law in LAWS:
        fitted = fitting.fit(law, runs, objective=options["objective"], delta=options["delta"])
        if law == "auto":
            fitted = fitting.intervals(fitted, "auto")
        said = fitting.predict(fitted, **{name: at[name] for name in type(fitted.law).inputs})
        out[law] = 100 * (measured / float(said.value[0]) - 1)
    inside = bool(said.run_low[0] <= measured <= said.run_high[0])
    return out | {
        "inside": inside,
        "refused": bool(decisions.doubts(fitted, at["params"], at["tokens"], within)),
    }


def line(name: str, row: dict) -> str:
    errors = "  ".join(f"{row[law]:+12.1f}" for law in LAWS)
    held, refused = ("inside" if row["inside"] else "outside"), ("refused" if row["refused"] else "")
    return f"{name:<32}{errors}  {held:<8} {refused}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--within", type=float, default=2.0, help="the error asked for, in percent (2)")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    rows = sealed.read(LEDGER)
    done = sealed.scored(rows)
    print(f"{'measured over said (%)':<32}" + "  ".join(f"{law:>12}" for law in LAWS))
    by_distance: dict[str, list[dict]] = {}
    for row in sealed.sealed_rows(rows):
        if not (measured := done.get(row["run_id"], {}).get("measured")):
            continue
        again = ask_again(row, float(measured), options.within / 100)
        by_distance.setdefault(row["beyond"], []).append(again)
        print(line(row["experiment"], again), flush=True)
    for beyond, some in by_distance.items():
        middle = "  ".join(f"{np.median([abs(each[law]) for each in some]):12.1f}" for law in LAWS)
        inside = f"{sum(each['inside'] for each in some)} of {len(some)} inside"
        print(f"{f'median size at {float(beyond):g} x':<32}{middle}  {inside}")


if __name__ == "__main__":
    main()
