"""Does the law of small runs tell the loss of one run 4 or 16 times beyond, before it is trained?

Question: is the measured loss inside the 95 % interval that was sealed before the run existed?
Command:  python -m experiments.prediction seal   (--size reviews, --size seals-linux-small, ...)
          python -m lab run experiments.prediction   (:seals, :fine)
          python -m experiments.prediction score
Cost:     laptop: 3 runs, 5.8e13 FLOPs, about 12 minutes on two cores (accelerator: one of 6.4e16,
          half an hour); seals: 10 runs, 4.8e13 FLOPs, about 10 minutes
Answer:   expected: inside, within 1 %: a law of five parameters over a factor 8 or 16 of compute,
          one factor 4 further; of the ten at 16 times, nine inside and half of them within 1 %. Too
          low would say that the rule of the learning rate, not the law, ends.

`seal` fits the table, chooses the run nearest to the law's optimum at 4 times the table's largest
budget (16 for experiments.seals), and writes the prediction into experiments/predictions.csv, which is
append-only, chained by checksums and never rewritten. The table is kept beside it. `runs()` are the
sealed runs of experiments.chinchilla2022's tables, or of experiments.seals'.
"""

import hashlib
import json
import shutil
import sys
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

from analysis.tables import table
from experiments import chinchilla2022, quickstart, seals
from experiments.reports import sealed, tables
from experiments.reports.forecasts import DELTA, WITHIN, Forecast, Source, forecast
from lab.commands import shared
from lab.commands.run import commit
from lab.config import RunConfig, from_json, to_json
from lab.models import counts
from lab.store import export
from lab.store.store import Store

HERE = Path(__file__).parent
FILE = HERE / "predictions.csv"
SIZES = {"laptop": "chinchilla2022", "seals": "seals", "fine": "fine"}  # whose sealed runs
REPEATED = ("experiment", "run_id", "data_sha256", "budget", "params", "tokens", "predicted", "low", "high")
SOURCES = {
    size: Source(
        f"chinchilla2022:{size}",
        tables.kept(chinchilla2022.named(size)),
        partial(chinchilla2022.nearest, size=size),
    )
    for size in chinchilla2022.SIZES
} | {
    f"seals-{size}-{part}": Source(
        f"{each.design.name}:{size.removeprefix('fine-')}-{part}",
        tables.kept(tables.name_of("seals", size)),
        partial(seals.nearest, size=size),
        where,
        seals.BEYOND,
        quickstart.HOW["objective"],
    )
    for size, each in seals.SIZES.items()
    for part, where in seals.parts(size).items()
}


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
    beyond: float | None = None,
    law: str = "chinchilla",
    within: float = WITHIN,
    anyway: bool = False,
    store: Path = Path("runs"),
    file: Path = FILE,
    unless_sealed: bool = False,
) -> int:
    """Write down what the law of a table says of a run that nobody has begun."""
    rows = sealed.read(file)
    source = SOURCES[size]
    source = replace(source, table=table or source.table, beyond=beyond or source.beyond)
    name, table = source.name, source.table
    before = [row for row in sealed.sealed_rows(rows) if row["experiment"] == name]
    if unless_sealed and before:
        print(f"{name}: sealed at {before[-1]['time']}, run {before[-1]['run_id']}")
        return 0
    content = table.read_bytes()
    made = forecast(source, law, within, anyway)
    sealed.check_new(rows, Store(store), made.config.run_id, file)
    sealed.check_clock(content.decode("utf-8"), table)
    sha = hashlib.sha256(content).hexdigest()
    kept = keep_table(table, file.parent / "predictions" / f"{sha[:12]}.csv")
    where = {"table": f"predictions/{kept.name}", "table_sha256": sha, "beyond": source.beyond}
    options = {"objective": source.objective, "delta": DELTA, "where": source.where, "within": str(within)}
    row = sealed.append(file, {"experiment": name, **where, **cells_of(made, options)})
    fitted = made.fitted
    print(f"sealed as row {row['number']} of {file}\n{sealed.describe(row, None)}")
    if fitted.status != "ok":
        print(f"the fit says {fitted.status}: {fitted.message}; that stands in the row")
    print(f"held-out scales, {made.audited}")
    if made.refused:
        print(f"sealed anyway, though refused at {within:.3g}: {'; and '.join(made.refused)}")
    print("commit the file now; then `python -m lab run experiments.prediction`")
    return 0


def cells_of(made: Forecast, options: dict) -> dict[str, object]:
    """What a row says of the run that is forecast and of the law that forecasts it."""
    config, fitted = made.config, made.fitted
    options |= {"intervals": fitted.intervals, "hold_out": made.audited}
    return {
        "kind": "sealed",
        "run_id": config.run_id,
        "table_rows": len(fitted.runs),
        "law": ("auto: " if fitted.forms else "") + type(fitted.law).__name__,
        "options": options | ({"refused": list(made.refused)} if made.refused else {}),
        "fit": asdict(fitted.law),
        "status": fitted.status,
        "cost": str(made.price),
        "data_sha256": config.data.sha256,
        "commit": commit(),
        "budget": made.budget,
        "params": counts.count_params(config.model).params,
        "tokens": config.steps * config.batch_tokens,
        "flops": counts.run_flops(config),
        "predicted": made.predicted,
        "low": made.low,
        "high": made.high,
        "config": to_json(config),
    }


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
    """How many predictions held, by how far they reached, and each sealed one beside what was measured."""
    rows = sealed.read(file)
    done, made = sealed.scored(rows), sealed.sealed_rows(rows)
    measured = [row for row in made if done.get(row["run_id"], {}).get("measured")]
    distances = sorted({float(row["beyond"]) for row in measured})
    inside = sum(done[row["run_id"]]["inside"] == "yes" for row in measured)
    return [
        f"{inside} of {len(measured)} measured losses inside their 95 % interval",
        *(
            sealed.at_distance([row for row in measured if float(row["beyond"]) == far], done)
            for far in distances
        ),
        *(sealed.describe(row, done.get(row["run_id"])) for row in made),
    ]


def sealed_of(size: str, file: Path) -> list[sealed.Row]:
    rows = sealed.sealed_rows(sealed.read(file))
    return [row for row in rows if row["experiment"].partition(":")[0] == SIZES[size]]


def runs(size: str = "laptop", file: Path = FILE) -> list[RunConfig]:
    """The runs that predictions were sealed for."""
    rows = sealed_of(size, file)
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


def report(store: Store, out: Path, size: str = "laptop", file: Path = FILE) -> None:
    """A figure of each prediction, prediction.png of all beside what was measured, and the verdicts; scores
    nothing."""
    from experiments.reports import figures

    rows = sealed.read(file)
    done = sealed.scored(rows)
    export.write(export.rows(store, runs(size, file), "prediction"), out / "runs.csv")
    for row in sealed_of(size, file):
        print(sealed.describe(row, done.get(row["run_id"])))
        kept = file.parent / row["table"]
        where = json.loads(row["options"])["where"]
        figure = figures.prediction(table.read(kept, where=where), row, done.get(row["run_id"]))
        figure.savefig(out / f"prediction-{row['run_id']}.png")
    results = [(row, done[row["run_id"]]) for row in sealed_of(size, file) if row["run_id"] in done]
    if results:
        figures.predictions(results).savefig(out / "prediction.png")
    print(f"figures in {out}; `python -m experiments.prediction score` writes what was measured")


HELP = shared.HELP | {
    "--table": "of the smaller runs; by default the committed one of that size",
    "--size": "the grid whose models and data the run takes: a size of experiments.chinchilla2022, or "
    "seals-SIZE-small or -large of experiments.seals",
    "--beyond": "its budget over the table's largest: by default 4, of experiments.seals 16",
    "--law": "of the table: a name of `analysis fit --law`, auto, or FILE.py:CLASS",
    "--within": "the error asked for, as a share of the loss: refuse where the table cannot tell it",
    "--anyway": "seal what would be refused, with its reasons in the row",
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
    option("--size", choices=tuple(SOURCES), default="laptop", metavar="GRID")
    option("--beyond", type=float, metavar="X")
    option("--law", default="chinchilla", metavar="LAW")
    option("--within", type=float, default=WITHIN, metavar="SHARE")
    option("--anyway", **shared.FLAG)
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
