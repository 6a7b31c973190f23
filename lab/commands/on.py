"""`lab plan EXPERIMENT --on v5e:2x4`: what a grid would take on chips that are not here."""

import argparse
import contextlib
import json
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from lab.commands import own, shared
from lab.commands.experiment import CommandError
from lab.commands.view import duration, human
from lab.config import RunConfig
from lab.launch import compilers
from lab.models import counts
from lab.plan import chips, estimate, grid, search
from lab.plan.chips import GIB, Slice
from lab.plan.estimate import Bill, Layout
from lab.store import lineage

HELP = {
    "--on": "chips that need not be here, such as v5e:2x4 (TPU) or h100x8 (GPU): says of each shape if it "
    "fits, how fast it trains and what it costs there. Compiled by the TPU's own compiler where libtpu is "
    "installed; else, and for GPUs, by arithmetic and roofline. Trains nothing and takes no device",
    "--json": "with --on: everything, as JSON",
    "--price": "with --on: US$ a chip and hour; 0 means the list price that is known",
    "--limit": "with --on: the time that the compiler may take for a shape; whether it fits is said as soon "
    "as it is known, and in a third of the time faster ways are looked for",
}


def add(parser: shared.Parser) -> None:
    option = shared.option_adder(parser, HELP)
    option("--on", default="", metavar="CHIPS")
    option("--json", action="store_true")
    option("--price", type=float, default=0.0, metavar="US$")
    option("--limit", type=float, default=600.0, metavar="SECONDS")


def plan(options: argparse.Namespace) -> int:
    """Of every shape what it would take on the chips of --on."""
    on = chips.find(options.on)
    if options.price < 0 or options.limit <= 0:
        raise CommandError(f"--price {options.price:g} --limit {options.limit:g}: neither is below 0")
    with contextlib.redirect_stdout(sys.stderr if options.json else sys.stdout):
        experiment, store = shared.open_grid(options)
        configs = lineage.resolve_trunks(store, experiment.configs())
        own.look_over(store, configs)
    price = options.price or on.chip.dollars
    groups = sorted(grid.group_by_shape(configs).values(), key=lambda runs: counts.run_flops(runs[0]))
    why = compilers.missing() if on.chip.is_tpu else "GPUs are not compiled for here"
    rows = (row(runs, on, price, said) for runs, said in answers(groups, on, why, options.limit))
    if options.json:
        print(json.dumps(about(on, price, why) | {"shapes": list(rows)}, indent=1))
    else:
        show(shlex.join(shared.named(options)), on, price, why, rows)
    return 0


def answers(groups: Sequence[list[RunConfig]], on: Slice, why: str, limit: float) -> Iterator[tuple]:
    """The runs of each shape, and what the compiler says of it: {} where it is not asked."""
    split = [runs[0] for runs in groups if not why and not estimate.splits(runs[0], on.devices)]
    asked = [config for config in split if search.possible(config, on)]
    said = compilers.ask(asked, on.name, limit, progress)
    for runs in groups:
        yield runs, next(said) if runs[0] in asked else {}


def progress(config: RunConfig, line: dict[str, Any]) -> None:
    """What the compiler does, and what it said, on standard error."""
    doing = next((word for word in ("compiling", "compiled", "timing") if word in line), "")
    if not doing:
        return
    at = line[doing]
    words = f"{config.model.name} ({human(counts.count_params(config.model).params)}): {layout(at)}: "
    if doing == "compiled":
        words += f"{at['bytes'] / GIB:.2f} of {at['available'] / GIB:.2f} GiB, "
        words += "fits" if at["fits"] else "does not fit"
    else:
        words += {"compiling": "compiling …", "timing": "compiling parts of a step to time it …"}[doing]
    print(words, file=sys.stderr, flush=True)


def layout(at: dict[str, Any]) -> str:
    return f"{at['way']}, micro-batch {at['micro_batch']}, {at['remat']} kept"


def row(runs: list[RunConfig], on: Slice, price: float | None, said: dict[str, Any]) -> dict[str, Any]:
    """All that is known of one shape; None where it is not."""
    config, batch = runs[0], runs[0].batch_tokens
    found: dict[str, Any] = {
        "model": config.model.name,
        "params": counts.count_params(config.model).params,
        "batch_tokens": batch,
        "seq_len": config.model.seq_len,
        "run_ids": [run.run_id for run in runs],
        "fits": False,
        **dict.fromkeys(("peak_bytes", "compile_seconds", "step_seconds")),
        "available_bytes": round(on.chip.memory),
        **dict.fromkeys(("way", "micro_batch", "remat")),
        **dict.fromkeys(item for item in Bill.__dataclass_fields__),
        "basis": "compiler" if "peak_bytes" in said else "arithmetic",
        "note": "",
        "tried": [],
        "not_tried": [],
        "fits_on": None,
    }
    if note := estimate.splits(config, on.devices):
        return found | {"note": note}
    seconds = said.pop("seconds", None)
    memory, note = said.pop("memory", ""), said.pop("refused", "") or said.pop("error", "")
    if "peak_bytes" in said:
        found |= said | {name: round(said[name]) for name in ("peak_bytes", "available_bytes")}
    else:
        found |= by_arithmetic(config, on)
    at = Layout(found["way"], found["micro_batch"], found["remat"])
    if not found["fits"]:
        why, larger = search.refusal(config, on, at, found["peak_bytes"])
        return found | {"note": "; ".join(filter(None, (why, memory, note))), "fits_on": larger or None}
    if seconds is None:
        seconds = estimate.step_seconds(config, at, on)
        note = f"step by roofline{': ' * bool(note)}{note}"
    left = found["not_tried"]
    faster = f"not tried, faster by arithmetic: {layout(left[0])}" if left else ""
    faster += f" and {len(left) - 1} more" * (len(left) > 1)
    note = "; ".join(filter(None, (note, memory, faster)))
    return found | {"step_seconds": seconds, **asdict(estimate.bill(runs, on, seconds, price)), "note": note}


def by_arithmetic(config: RunConfig, on: Slice) -> dict[str, Any]:
    """The fastest layout that fits by arithmetic, or that which needs least."""
    need = {at: estimate.device_bytes(config, at, on) for at in estimate.layouts(config, on)}
    fitting = (at for at in need if need[at] <= on.chip.memory)
    at = next(fitting, min(need, key=need.__getitem__))
    return {"fits": need[at] <= on.chip.memory, "peak_bytes": round(need[at]), **asdict(at)}


def about(on: Slice, price: float | None, why: str) -> dict[str, Any]:
    """The chips, and how much is known of them."""
    chip = {name: value for name, value in asdict(on.chip).items() if name != "slices"}
    known = {"on": on.name, "chips": on.chips, "chip": chip, "price": price}
    known |= {"source": f"lab/plan/chips.py, {chips.DATE}", "no_compiler": why}
    versions, caution = ("", "") if why else (compilers.versions(), compilers.misfit())
    return known | {"compiler": versions, "caution": caution}


def show(named: str, on: Slice, price: float | None, why: str, rows: Iterator[dict]) -> None:
    """Print what is known of each shape of the grid that is `named` so, as it is known."""
    cost = f"${price:g} an hour each" if price else "price not known: --price"
    print(
        f"{on.name}: {on.chips} chip{'s' * (on.chips > 1)} of {on.chip.flops / 1e12:g} TFLOP/s, "
        f"{on.chip.memory / GIB:.2f} GiB a device; {cost} ({chips.DATE})"
    )
    if why:
        print(f"{why}: memory by arithmetic, speed by roofline, which is a bound")
    elif caution := compilers.misfit():
        print(caution)
    print(
        f"{'layers x width':>14} {'N':>7} {'runs':>4} {'fits':>4} {'GiB':>12} {'way':>4} {'micro':>5} "
        f"{'kept':>10} {'compile':>7} {'tokens/s':>8} {'MFU':>5} {'hours':>8} {'US$':>8}  note"
    )
    fitting = []
    for found in rows:
        print(line(found), flush=True)
        fitting += [found] * found["fits"]
    if not fitting:
        print("nothing fits: more chips, a smaller batch, or a smaller model")
        return
    total = {name: sum(found[name] or 0 for found in fitting) for name in ("hours", "dollars", "joules")}
    cost = f", ${total['dollars']:,.2f}" if price else ""
    cost += f", at most {total['joules'] / 3.6e6:,.3g} kWh in the chips" if on.chip.watts else ""
    print(f"\nwhat fits, one run after another: {duration(3600 * total['hours'])}{cost}")
    print(f"there: lab run {named}{order(on, fitting[-1])}")


def order(on: Slice, found: dict[str, Any]) -> str:
    """How `lab run` is told to train a shape so."""
    words = f" --launcher slurm --hosts {on.hosts}" * (on.hosts > 1)  # local ones would all be here
    if on.devices > 1:
        words += f" --devices {on.devices // on.hosts} --way {found['way']}"
    whole = found["batch_tokens"] // found["seq_len"]
    words += f" --remat {found['remat']}" * (found["remat"] != "nothing")
    return words + f" --set micro_batch={found['micro_batch']}" * (found["micro_batch"] < whole)


def line(found: dict[str, Any]) -> str:
    """A shape, for the terminal."""
    text = lambda form, name: "" if found[name] is None else format(found[name], form)  # noqa: E731
    memory = "" if found["peak_bytes"] is None else f"{found['peak_bytes'] / GIB:.2f}"
    memory += f"/{found['available_bytes'] / GIB:.2f}"
    rate = "" if found["tokens_per_second"] is None else human(found["tokens_per_second"])
    compile = "" if found["compile_seconds"] is None else f"{found['compile_seconds']:.0f} s"
    kept = found["remat"] or ""
    return (
        f"{found['model']:>14} {human(found['params']):>7} {len(found['run_ids']):>4} "
        f"{'yes' if found['fits'] else 'NO':>4} {memory:>12} "
        f"{found['way'] or '':>4} {text('d', 'micro_batch'):>5} {kept:>10} {compile:>7} {rate:>8} "
        f"{text('.0%', 'mfu'):>5} {text(',.3g', 'hours'):>8} {text(',.2f', 'dollars'):>8}  {found['note']}"
    ).rstrip()
