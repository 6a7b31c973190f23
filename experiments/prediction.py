"""Does the law of small runs tell the loss of one run four times beyond, before it is trained?

Question: is the measured loss inside the 95 % interval that was sealed before the run existed?
Command:  python -m experiments.prediction seal   (--size reviews, --size bpe)
          python -m lab run experiments.prediction
          python -m experiments.prediction score
Cost:     3 runs, 5.8e13 FLOPs, about 12 minutes on two cores (accelerator: one of 6.4e16, half
          an hour)
Answer:   expected: inside, within 1 %: a law of five parameters over a factor 8 or 16 of compute,
          one factor 4 further. Too low would say that the rule of the learning rate, not the law,
          ends.

`seal` fits the table, chooses the run nearest to the law's optimum at four times the table's
largest budget, and writes the prediction into experiments/predictions.csv, which is append-only,
chained by checksums and never rewritten. The table is kept beside it. `runs()` are the sealed runs.
"""

import hashlib
import json
import shutil
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from analysis import decisions, fitting, frontiers
from analysis.audit import audit_runs
from analysis.decisions.counted import middle
from analysis.decisions.plans import optimum
from analysis.laws.find import find_law
from analysis.tables import table
from experiments import chinchilla2022
from experiments.reports import sealed, tables
from experiments.reports.sealed import SealError
from lab.commands import shared
from lab.commands.run import commit
from lab.config import RunConfig, from_json, to_json
from lab.models import counts
from lab.store import export
from lab.store.store import Store

HERE = Path(__file__).parent
FILE = HERE / "predictions.csv"
BEYOND = 4.0  # times the table's largest budget
WITHIN = 0.02  # the error asked for, in loss; a table that cannot tell it is refused
FILTER = "budget > 0"  # the isoFLOP cells, without runs that ask something else
OPTIONS = {"objective": "huber-log", "delta": 1e-3, "intervals": "auto", "where": FILTER}
REPEATED = ("experiment", "run_id", "data_sha256", "budget", "params", "tokens", "predicted", "low", "high")


@dataclass(frozen=True)
class Forecast:
    """A run to be trained and what the law says of it; losses in nats per token."""

    config: RunConfig
    fitted: fitting.Fit
    price: frontiers.Cost
    budget: float
    predicted: float
    low: float  # 95 % for one new run: the law's own doubt and the scatter of single runs
    high: float
    audited: str  # how well the table's own largest runs are forecast from the smaller ones


def forecast(
    path: Path, beyond: float = BEYOND, size: str = "laptop", law: str = "chinchilla", within: float = WITHIN
) -> Forecast:
    """The law of a table, the run nearest to its optimum at `beyond` times the largest budget, and
    the loss it should end at."""
    if not beyond > 1:
        raise SealError(f"--beyond {beyond:g}: a prediction is for more than the table's compute")
    runs = table.read(path, where=FILTER)
    fitted = fitting.fit(
        law if law == "auto" else find_law(law), runs, objective=OPTIONS["objective"], delta=OPTIONS["delta"]
    )
    fitted = fitting.intervals(fitted, OPTIONS["intervals"])
    price = frontiers.fit_cost(runs)
    budget = beyond * float(np.max(runs.usable().budget))
    best = optimum(middle(fitted), price, np.array([budget])).params[0]
    config = chinchilla2022.nearest(float(best), budget, size)
    data = {str(sha256) for sha256 in runs.usable().column("data_sha256")}
    if data != {config.data.sha256}:
        raise SealError(
            f"{path} holds runs on data {', '.join(sha256[:12] for sha256 in sorted(data))}, and "
            f"{config.data.corpus!r} is here {config.data.sha256[:12]}: a law of one text says "
            "nothing of another"
        )
    if config.run_id in runs.column("run_id"):
        raise SealError(f"run {config.run_id} stands in {path}: its loss is known")
    tokens = config.steps * config.batch_tokens
    params = counts.count_params(config.model).params
    at = {"params": params, "tokens": tokens, "flops": counts.run_flops(config)}
    loss = fitting.predict(fitted, **{name: at[name] for name in type(fitted.law).inputs})
    if why := decisions.doubts(fitted, params, tokens, within):
        raise SealError(
            f"{path}: not sealed, for {params:.3g} params on {tokens:.3g} tokens {'; and '.join(why)}"
        )
    ends = (float(end[0]) for end in (loss.value, loss.run_low, loss.run_high))
    findings = audit_runs(runs, fitted=fitted, resamples=0).findings
    held = [f"{each.severity}: {each.message}" for each in findings if each.code == "hold-out"]
    audited = held[0] if held else f"none was forecast, the fit being {fitted.status}"
    return Forecast(config, fitted, price, budget, *ends, audited)


def keep_table(table: Path, to: Path) -> Path:
    """A copy of a table beside the ledger, where there is none yet."""
    to.parent.mkdir(parents=True, exist_ok=True)
    if not to.exists():
        shutil.copyfile(table, to)
    return to


def seal(
    *,
    table: Path | None = None,
    size: str = "laptop",
    beyond: float = BEYOND,
    law: str = "chinchilla",
    within: float = WITHIN,
    store: Path = Path("runs"),
    file: Path = FILE,
    unless_sealed: bool = False,
) -> int:
    """Write down what the law of a table says of a run that nobody has begun."""
    rows = sealed.read(file)
    table = table or tables.kept(chinchilla2022.named(size))
    name = f"chinchilla2022:{size}"
    before = [row for row in sealed.sealed_rows(rows) if row["experiment"] == name]
    if unless_sealed and before:
        print(f"{name}: sealed at {before[-1]['time']}, run {before[-1]['run_id']}")
        return 0
    content = table.read_bytes()
    made = forecast(table, beyond, size, law, within)
    config, fitted = made.config, made.fitted
    sealed.check_new(rows, Store(store), config.run_id, file)
    sealed.check_clock(content.decode("utf-8"), table)
    sha = hashlib.sha256(content).hexdigest()
    kept = keep_table(table, file.parent / "predictions" / f"{sha[:12]}.csv")
    row = sealed.append(
        file,
        {
            "kind": "sealed",
            "experiment": name,
            "run_id": config.run_id,
            "table": f"predictions/{kept.name}",
            "table_sha256": sha,
            "table_rows": len(fitted.runs),
            "law": ("auto: " if fitted.forms else "") + type(fitted.law).__name__,
            "options": OPTIONS
            | {"intervals": fitted.intervals, "hold_out": made.audited, "within": str(within)},
            "fit": asdict(fitted.law),
            "status": fitted.status,
            "cost": str(made.price),
            "data_sha256": config.data.sha256,
            "commit": commit(),
            "beyond": beyond,
            "budget": made.budget,
            "params": counts.count_params(config.model).params,
            "tokens": config.steps * config.batch_tokens,
            "flops": counts.run_flops(config),
            "predicted": made.predicted,
            "low": made.low,
            "high": made.high,
            "config": to_json(config),
        },
    )
    print(f"sealed as row {row['number']} of {file}\n{sealed.describe(row, None)}")
    if fitted.status != "ok":
        print(f"the fit says {fitted.status}: {fitted.message}; that stands in the row")
    print(f"held-out scales, {made.audited}")
    print("commit the file now; then `python -m lab run experiments.prediction`")
    return 0


def score(*, store: Path = Path("runs"), file: Path = FILE) -> int:
    """Add to each sealed prediction whose run is finished what it ended at."""
    rows, runs = sealed.read(file), Store(store)
    done = sealed.scored(rows)
    for row in sealed.sealed_rows(rows):
        if row["run_id"] in done:
            print(sealed.describe(row, done[row["run_id"]]))
            continue
        sealed.check_table(row, file)
        status, record = runs.status_and_record(row["run_id"])
        if status not in ("done", "diverged"):
            print(f"run {row['run_id']}, sealed {row['time']}: {status}; nothing to score yet")
            continue
        sealed.check_after(row, record)
        new = {name: row[name] for name in REPEATED}
        new |= {
            "kind": "scored",
            "status": status,
            "record_sha256": record.get("sha256", ""),
            "commit": record.get("commit", ""),
        }
        if status == "done":
            loss, low, high = record["loss"], float(row["low"]), float(row["high"])
            new |= {
                "measured": loss,
                "error": loss / float(row["predicted"]) - 1,
                "inside": "yes" if low <= loss <= high else "no",
            }
        print(sealed.describe(row, sealed.append(file, new)))
    return 0


def check(*, file: Path = FILE) -> int:
    """Read every row, check the chain and the kept tables, and say what stands there."""
    rows = sealed.read(file)
    done = sealed.scored(rows)
    for row in sealed.sealed_rows(rows):
        sealed.check_table(row, file)
        print(sealed.describe(row, done.get(row["run_id"])))
    print(f"{len(rows)} rows of {file} are as they were written")
    return 0


def answer(file: Path) -> list[str]:
    """How many predictions held, and each sealed one beside what was measured."""
    rows = sealed.read(file)
    done = sealed.scored(rows)
    measured = [row for row in done.values() if row["measured"]]
    inside = sum(row["inside"] == "yes" for row in measured)
    return [
        f"{inside} of {len(measured)} measured losses inside their 95 % interval",
        *(sealed.describe(row, done.get(row["run_id"])) for row in sealed.sealed_rows(rows)),
    ]


def runs(file: Path = FILE) -> list[RunConfig]:
    """The runs that predictions were sealed for."""
    rows = sealed.sealed_rows(sealed.read(file))
    if not rows:
        raise ValueError(f"no prediction is sealed in {file}: `python -m experiments.prediction seal` first")
    configs = [from_json(json.loads(row["config"]), where=f"{file}") for row in rows]
    for row, config in zip(rows, configs, strict=True):
        if config.run_id != row["run_id"]:
            raise ValueError(
                f"row {row['number']} of {file} sealed run {row['run_id']}, whose id is now "
                f"{config.run_id}: the code's NUMERICS changed since; train it at commit "
                f"{row['commit'][:12] or 'of that time'}"
            )
    return configs


def report(store: Store, out: Path, file: Path = FILE) -> None:
    """predictions.png, one panel a prediction, and the verdicts; scores nothing."""
    from experiments.reports import figures

    rows = sealed.read(file)
    done = sealed.scored(rows)
    export.write(export.rows(store, runs(file), "prediction"), out / "runs.csv")
    for row in sealed.sealed_rows(rows):
        print(sealed.describe(row, done.get(row["run_id"])))
        kept = file.parent / row["table"]
        figure = figures.prediction(table.read(kept, where=FILTER), row, done.get(row["run_id"]))
        figure.savefig(out / f"prediction-{row['run_id']}.png")
    print(f"figures in {out}; `python -m experiments.prediction score` writes what was measured")


HELP = shared.HELP | {
    "--table": "of the smaller runs; by default the committed one of that size",
    "--size": "of experiments.chinchilla2022, whose models and data the run takes",
    "--beyond": "its budget over the table's largest",
    "--law": "of the table: a name of `analysis fit --law`, auto, or FILE.py:CLASS",
    "--within": "the error asked for, as a share of the loss: refuse where the table cannot tell it",
    "--unless-sealed": "do nothing when a prediction of this size was sealed before",
    "--file": "the predictions",
}


def parser() -> shared.Parser:
    top = shared.Parser(prog="python -m experiments.prediction", description=__doc__.split("\n")[0])
    commands = top.add_subparsers(required=True)
    for name, run in (("score", score), ("check", check), ("seal", seal)):
        option = shared.option_adder(shared.command(commands, name, run), HELP)
        option("--file", type=Path, default=FILE, metavar="CSV")
        if name != "check":
            option("--store", **shared.STORE)
    option("--table", type=Path, metavar="CSV")
    option("--size", choices=tuple(chinchilla2022.SIZES), default="laptop")
    option("--beyond", type=float, default=BEYOND, metavar="X")
    option("--law", default="chinchilla", metavar="LAW")
    option("--within", type=float, default=WITHIN, metavar="SHARE")
    option("--unless-sealed", **shared.FLAG)
    return top


def main(arguments: list[str] | None = None) -> int:
    options = vars(parser().parse_args(arguments))
    try:
        return options.pop("run")(**options)
    except (ValueError, OSError, RuntimeError) as error:
        print(f"prediction: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
