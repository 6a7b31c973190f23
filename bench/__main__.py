"""python -m bench [PART ...]: how fast this is, beside what a user would pick instead.

Writes bench/results/PART.json for every part; `--page` writes their tables into
docs/performance.md. What a machine can't measure is named and left out.
"""

import argparse
import importlib
import json
import shutil
import signal
import sys
from pathlib import Path

from bench import machine
from bench.machine import Quiet
from bench.options import Options

PARTS = {  # in the order in which they run: later ones read what earlier ones left
    "grid": "tokens a second of S, M and L beside plain JAX, NanoDO, transformers and nanoGPT",
    "peak": "what this machine can do, and what share of it our step uses",
    "many": "packs of runs, and one run over several devices",
    "start": "seconds until the first training step is over, cold and warm",
    "overhead": "what a minute's run spends outside its steps",
    "growth": "speed over size and context, cost of a run in grids of 1 to 1000",
    "recurrent": "an LSTM's and a GRU's step beside a Transformer's of the same FLOPs",
    "accelerator": "a GPU's or TPU's ways, attention, packs and MFU, beside what the plan expects",
    "laws": "our fit of Chinchilla's law beside other packages'",
}
ASKED = "accelerator"  # for by name alone
ANYWHERE = ("many", ASKED, "laws")  # parts that are not about processors alone
RESULTS = Path(__file__).parent / "results"
QUICK = Path("out") / "bench-quick"  # never beside what was measured in earnest
PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "scipy", "torch", "transformers")


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="python -m bench",
        description=__doc__.split("\n")[0],
        epilog="parts: " + "; ".join(f"{name}: {what}" for name, what in PARTS.items()),
    )
    names = f"of {', '.join(PARTS)}; all but {ASKED} if none"
    top.add_argument("parts", nargs="*", metavar="PART", help=names)
    top.add_argument("--quick", action="store_true", help="seconds long, on tiny shapes; proves no speed")
    top.add_argument("--rounds", type=int, default=Options.rounds, metavar="N")
    top.add_argument(
        "--seconds", type=float, default=Options.seconds, metavar="S", help="of each turn (one step at least)"
    )
    top.add_argument("--shapes", default=",".join(Options.shapes), metavar="S,M,L")
    top.add_argument("--dtypes", default=",".join(Options.dtypes), metavar="float32,bfloat16")
    top.add_argument("--nanogpt", type=Path, metavar="DIR", help="a checkout of karpathy/nanoGPT")
    top.add_argument("--nanodo", type=Path, metavar="DIR", help="a checkout of google-deepmind/nanodo")
    top.add_argument(
        "--peer-python",
        default=sys.executable,
        metavar="PYTHON",
        help="an interpreter that has torch and transformers",
    )
    top.add_argument(
        "--bound",
        type=float,
        default=Quiet.bound,
        metavar="SHARE",
        help="of the machine that others may use while we time",
    )
    top.add_argument(
        "--patience",
        type=float,
        default=Quiet.patience,
        metavar="S",
        help="waited for a quiet machine, in all, in each part; then it is measured "
        "as it is, and what others used is in the results",
    )
    top.add_argument(
        "--results",
        type=Path,
        metavar="DIR",
        help=f"default {RESULTS.name} beside the bench; with --quick {QUICK}",
    )
    top.add_argument(
        "--page", action="store_true", help="measure nothing: put kept tables into docs/performance.md"
    )
    return top


def options_of(parsed: argparse.Namespace, top: argparse.ArgumentParser) -> Options:
    from bench.grid import DTYPES
    from bench.peers.shapes import SHAPES

    shapes, dtypes = parsed.shapes.split(","), parsed.dtypes.split(",")
    for given, known, name in (
        (parsed.parts, PARTS, "PART"),
        (shapes, SHAPES, "--shapes"),
        (dtypes, DTYPES, "--dtypes"),
    ):
        if unknown := [value for value in given if value not in known]:
            top.error(f"{name} {unknown[0]!r} is none of {', '.join(known)}")
    if parsed.rounds < 1 or parsed.seconds <= 0:
        top.error("--rounds needs at least 1, --seconds more than 0")
    if shutil.which(parsed.peer_python) is None:
        top.error(f"--peer-python {parsed.peer_python}: no such program")
    for name, folder, file in (
        ("--nanogpt", parsed.nanogpt, "model.py"),
        ("--nanodo", parsed.nanodo, "nanodo/train.py"),
    ):
        if folder and not (folder / file).is_file():
            top.error(f"{name} {folder}: no {file} there; name a checkout's folder")
    return Options(
        quick=parsed.quick,
        rounds=1 if parsed.quick else parsed.rounds,
        seconds=0.05 if parsed.quick else parsed.seconds,
        shapes=tuple(shapes),
        dtypes=tuple(dtypes),
        nanogpt=parsed.nanogpt,
        nanodo=parsed.nanodo,
        peer_python=parsed.peer_python,
    )


def main(arguments: list[str] | None = None) -> int:
    top = parser()
    parsed = top.parse_args(arguments)
    options = options_of(parsed, top)
    options.results = parsed.results or (QUICK if parsed.quick else RESULTS)
    if parsed.page:
        return write_page(options.results)
    options.results.mkdir(parents=True, exist_ok=True)
    failed = 0
    parts = parsed.parts or [name for name in PARTS if name != ASKED]
    for part in [name for name in PARTS if name in parts]:
        options.quiet = Quiet(parsed.bound, 0.0 if parsed.quick else parsed.patience)
        print(f"\n{part}: {PARTS[part]}", flush=True)
        try:
            run(part, options)
        except (RuntimeError, ValueError) as error:
            print(f"bench: {part}: {error}", file=sys.stderr)
            failed = 1
        except KeyboardInterrupt:
            print(f"\nstopped; what was finished is in {options.results}", file=sys.stderr)
            return 1
    return failed


def run(part: str, options: Options) -> None:
    """Measure one part; its results so far are on disk after every race."""
    from lab.commands.run import commit
    from lab.launch import processes

    if part not in ANYWHERE and not processes.on_cpu():
        raise RuntimeError(
            "it measures processors, and jax would take an accelerator here; set "
            "JAX_PLATFORMS=cpu for it, or name the part many"
        )
    path = options.results / f"{part}.json"
    head = {
        "date": machine.now(),
        "commit": commit(),
        "quick": options.quick,
        "machine": machine.describe(),
        "versions": machine.versions(*PACKAGES),
        "rounds": options.rounds,
        "seconds": options.seconds,
    }
    for so_far in importlib.import_module(f"bench.{part}").measure(options):
        record = head | so_far | {"others": options.quiet.summary()}
        part_of = path.with_suffix(".part")
        part_of.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        part_of.replace(path)  # whole or not at all
    middle = record["others"]["others_median"]
    if middle is not None and middle > options.quiet.bound and not options.quick:
        print(
            f"others used {100 * middle:.0f} % of the machine while this was timed (median): "
            "measure again when it is quiet before you believe it"
        )
    print(f"written: {path}", flush=True)


def write_page(folder: Path) -> int:
    from bench import page

    for name in page.write(folder):
        print(f"{name}: no {folder / name}.json, so its table stays as it is")
    print(f"written: {page.PAGE}")
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that its processes end with it
    sys.exit(main())
