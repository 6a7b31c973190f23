"""python -m bench.defects [--tables 500] [--seed 0]: do tables as people have them give a wrong `ok`?

A table is drawn from a known law; then defects are put into it at random: rows that are no results,
runs of another kind under an invented name, units, sparse and training losses, shuffled headers, rows
before the end of a run. Each goes through `analysis fit TABLE --json` as a user's would. Counted is how
often a fit that is `ok`, and draws no caution about rows or losses, has the truth outside its 95 %
intervals, and how often a clean table draws a caution. Writes bench/results/defects.json.
"""

import argparse
import contextlib
import io
import json
import tempfile
import traceback
from collections import Counter
from pathlib import Path

import numpy as np

from analysis.__main__ import main as analysis
from bench.drawn import DEFECTS, Table, draw, write

NAMES = ("E", "A", "B", "alpha", "beta")
KEPT = ("table", "defects", "status", "missed")  # of an answer, in the file


def fit(table: Table, rng: np.random.Generator, folder: Path) -> dict:
    """What `analysis fit` answers, and which parameters' intervals miss the truth."""
    path = write(table, folder / "table", rng)
    out, answer = io.StringIO(), folder / "answer.json"
    answer.unlink(missing_ok=True)
    result = {"defects": table.defects, "file": path.name, "status": "refused", "missed": [], "cautions": []}
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            analysis(["fit", str(path), "--intervals", "auto", "--json", str(answer)])
    except SystemExit as end:
        result["message"] = f"{end}\n{out.getvalue()[-2000:]}"
    except Exception:
        return result | {"status": "traceback", "message": traceback.format_exc()}
    if not answer.exists():
        return result | {"message": out.getvalue()[-2000:]}
    fitted = json.loads(answer.read_text())
    result |= {name: fitted[name] for name in ("status", "message", "cautions", "intervals", "runs")}
    result["cautions"] = sorted(set(result["cautions"]))
    for name in NAMES:
        ends, truth = fitted["parameters"][name], getattr(table.law, name)
        low, high = ends["low"], ends["high"]
        if not (-np.inf if low is None else low) <= truth <= (np.inf if high is None else high):
            result["missed"].append(name)
    return result


def random_defects(rng: np.random.Generator) -> list[str]:
    """None in a third of the tables, else one to four."""
    count = 0 if rng.random() < 1 / 3 else rng.integers(1, 5)
    return [str(name) for name in rng.choice(list(DEFECTS), count, replace=False)]


def run(tables: int, seed: int) -> list[dict]:
    answers = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(tables):
            rng = np.random.default_rng([seed, number])
            answers.append({"table": number} | fit(draw(rng, random_defects(rng)), rng, Path(folder)))
    return answers


def summary(answers: list[dict]) -> dict:
    ok = [a for a in answers if a["status"] == "ok"]
    quiet = [a for a in ok if not a["cautions"]]
    clean_ones = [a for a in answers if not a["defects"]]
    share = lambda some: sum(len(a["missed"]) for a in some) / max(1, len(NAMES) * len(some))  # noqa: E731
    return {
        "tables": len(answers),
        "statuses": dict(Counter(a["status"] for a in answers)),
        "ok without a caution": len(quiet),
        "ok without a caution: truth outside": share(quiet),
        "ok: truth outside": share(ok),
        "clean": len(clean_ones),
        "clean with a caution": sum(bool(a["cautions"]) for a in clean_ones),
        "clean and not ok": sum(a["status"] != "ok" for a in clean_ones),
        "by defect": {
            name: {
                "tables": len(some := [a for a in answers if name in a["defects"]]),
                "ok, quiet": len(calm := [a for a in some if a["status"] == "ok" and not a["cautions"]]),
                "truth outside": round(share(calm), 3),
            }
            for name in DEFECTS
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.defects", description=__doc__.split("\n")[0])
    parser.add_argument("--tables", type=int, default=500, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "defects.json")
    options = parser.parse_args()
    answers = run(options.tables, options.seed)
    rows = [json.dumps({name: answer[name] for name in KEPT}) for answer in answers]
    whole = json.dumps(summary(answers), indent=1)
    options.out.write_text(f'{{"summary": {whole},\n"answers": [\n' + ",\n".join(rows) + "\n]}\n")
    print(json.dumps(summary(answers), indent=1))


if __name__ == "__main__":
    main()
