"""Writes the tables of docs/performance.md from bench/results: what stands between
`<!-- NAME -->` and `<!-- end -->` there is replaced by the table NAME, the rest stays."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
BLOCK = re.compile(r"(<!-- (\w+) -->\n).*?(<!-- end -->)", re.S)


def write(folder: Path, page: Path = PAGE) -> list[str]:
    """Rewrite the page's tables; names of those for which there are no results."""
    absent = []

    def table(match: re.Match) -> str:
        name = match[2]
        path = folder / f"{name}.json"
        if not path.exists():
            absent.append(name)
            return match[0]
        return match[1] + "\n".join(TABLES[name](json.loads(path.read_text()))) + "\n" + match[3]

    page.write_text(BLOCK.sub(table, page.read_text(encoding="utf-8")), encoding="utf-8")
    return absent


def conditions(results: dict[str, Any]) -> str:
    """Where and when, in a line."""
    machine, others = results["machine"], results["others"]
    versions = dict(results["versions"]) | results.get("peer_versions", {})
    units = [flag for flag in machine["flags"] if flag.startswith(("avx512_bf", "amx"))]
    busy = "unknown"
    if others["others_max"] is not None:
        middle, most = (100 * others[f"others_{name}"] for name in ("median", "max"))
        busy = f"median {middle:.0f} %, at most {most:.0f} %"
        if middle > 100 * others["bound"]:
            busy += ". **The machine was not quiet: these are not this lab's numbers yet**"
    kept = ", ".join(f"{name} {versions[name]}" for name in KEPT if name in versions)
    return (
        f"{results['date'][:10]}, {machine['processor']} (family/model {machine['family_model']}), "
        f"{machine['cores']} cores{', virtual' if machine['virtual'] else ''}, bfloat16 units: "
        f"{', '.join(units) or 'none'}; {kept}. Others used of the machine while it was timed: "
        f"{busy}."
    )


KEPT = ("python", "jax", "flax", "optax", "torch", "transformers")


def grid(results: dict[str, Any]) -> list[str]:
    """The fastest way of each peer, then all."""
    races = results["races"]
    families = list(dict.fromkeys(name for race in races for name in race["best"]))
    out = [
        conditions(results),
        "",
        "How many times as fast this lab is as the fastest way of each:",
        "",
        f"| shape | dtype | this lab, tokens/s | {' | '.join(families)} |",
        "|---|---|---|" + "---|" * len(families),
    ]
    for race in races:
        ours = race["results"][0]
        rate = f"{ours['rate']:,.0f}" if "rate" in ours else "failed"
        cells = [
            f"{race['best'][row]['ours_over_it']['median']:.2f}" if row in race["best"] else ""
            for row in families
        ]
        out.append(f"| {race['shape']} | {race['dtype']} | {rate} | {' | '.join(cells)} |")
    out += [
        "",
        "All ways:",
        "",
        "| shape | dtype | who | tokens/s | this lab is | rounds | per processor second |",
        "|---|---|---|---|---|---|---|",
    ]
    for race in races:
        for row in race["results"]:
            head = f"| {race['shape']} | {race['dtype']} | {row['name']} | "
            if "failed" in row:
                out.append(f"{head}failed: {row['failed'].replace('|', '/')} | | | |")
            elif times := row.get("ours_over_it"):
                each = row["ours_over_it_per_processor_second"]["median"]
                out.append(
                    f"{head}{row['rate']:,.0f} | {times['median']:.2f} × | "
                    f"{times['low']:.2f}–{times['high']:.2f} | {each:.2f} × |"
                )
            else:
                out.append(f"{head}{row['rate']:,.0f} | | | |")
    out += [f"\nLeft out: {name} ({why})." for name, why in results["left_out"].items()]
    return out


def peak(results: dict[str, Any]) -> list[str]:
    out = [conditions(results), "", "| | rate |", "|---|---|"]
    for row in results["results"]:
        unit = "GB/s" if "bytes" in row else "GFLOP/s"
        cell = f"failed: {row['failed']}" if "failed" in row else f"{row['rate'] / 1e9:,.1f} {unit}"
        out.append(f"| {row['name']} | {cell} |")
    if results["utilisation"]:
        out += ["", "| shape | dtype | our step, GFLOP/s | of the fastest product |", "|---|---|---|---|"]
    for row in results["utilisation"]:
        out.append(
            f"| {row['shape']} | {row['dtype']} | {row['flops_per_second'] / 1e9:,.1f} | "
            f"{100 * row['utilisation']:.0f} % |"
        )
    return out


def many(results: dict[str, Any]) -> list[str]:
    out = [
        conditions(results),
        "",
        "| shape | how | tokens/s | of one run on one device |",
        "|---|---|---|---|",
    ]
    for race in results["races"]:
        for row in race["results"]:
            times = row.get("over_one_device")
            cell = (
                f"{row['rate']:,.0f} | {times['median']:.2f} ×"
                if times
                else f"failed: {row.get('failed', '')} |"
            )
            out.append(f"| {race['shape']} | {row['name']} | {cell} |")
    return out


def start(results: dict[str, Any]) -> list[str]:
    cold, warm = results["parts"]["cold"], results["parts"]["warm"]
    return [
        conditions(results),
        "",
        "| seconds | cold | warm |",
        "|---|---|---|",
        *(f"| {name} | {cold[name]:.2f} | {warm[name]:.2f} |" for name in cold),
    ]


def overhead(results: dict[str, Any]) -> list[str]:
    shares = sorted(results["shares_of_the_worker"].items(), key=lambda item: -item[1])
    return [
        conditions(results),
        "",
        f"A worker's {results['worker_seconds']:.1f} s on {results['shape']}, "
        f"{results['tokens_of_a_run']:,} tokens:",
        "",
        "| | share |",
        "|---|---|",
        *(f"| {name} | {100 * share:.2f} % |" for name, share in shares),
        "",
        f"`lab run` of {results['runs']} such runs took {results['lab_run_seconds']:.1f} s from its "
        f"start to its end; {100 * results['lab_run_outside_the_step']:.1f} % of that is not steps.",
    ]


def growth(results: dict[str, Any]) -> list[str]:
    figure = "![Tokens a second over size and context; seconds a run over the runs of a grid]"
    out = [
        conditions(results),
        "",
        f"{figure}(../bench/results/growth.png)",
        "",
        "| runs of 4 updates | `lab run`, s | s a run |",
        "|---|---|---|",
    ]
    return out + [
        f"| {row['runs']:,} | {row['seconds']:.1f} | {row['seconds_a_run']:.2f} |" for row in results["grids"]
    ]


def recurrent(results: dict[str, Any]) -> list[str]:
    out = [
        conditions(results),
        "",
        "| shape | model | tokens a processor second | time a token, over the Transformer's | rounds |",
        "|---|---|---|---|---|",
    ]
    for race in results["races"]:
        for row in race["results"]:
            head = f"| {race['shape']} | {row['name']} |"
            if times := row.get("transformer_over_it"):
                out.append(
                    f"{head} {row['per_processor_second']:,.0f} | {times['median']:.2f} × | "
                    f"{times['low']:.2f}–{times['high']:.2f} |"
                )
            else:
                out.append(f"{head} failed: {row.get('failed', '')} | | |")
    return out


def plan(results: dict[str, Any]) -> list[str]:
    """What the TPU's compiler said of a step."""
    out = [
        f"{results['date']}, no TPU at hand; jax {results['jax']}, libtpu {results['libtpu']}.",
        "",
        "| chips | layers x width | N | way | micro-batch | kept of a block | GiB a chip | to compile, s | "
        "tokens/s a chip | MFU | fits |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for each in results["plans"]:
        for row in each["shapes"]:
            rate = (
                f"{row['tokens_per_second'] / each['chips']:,.0f} | {row['mfu']:.0%}" if row["mfu"] else " | "
            )
            out.append(
                f"| {each['on']} | {row['model']} | {row['params'] / 1e6:,.1f} M | {row['way']} | "
                f"{row['micro_batch']} | {row['remat']} | "
                f"{row['peak_bytes'] / 2**30:.2f} of {row['available_bytes'] / 2**30:.2f} | "
                f"{row['compile_seconds']:.0f} | {rate}{' *' * bool(row['note'])} | "
                f"{'yes' if row['fits'] else 'no'} |"
            )
    return out


TABLES: dict[str, Callable[[dict[str, Any]], list[str]]] = {
    "grid": grid,
    "peak": peak,
    "many": many,
    "start": start,
    "overhead": overhead,
    "growth": growth,
    "recurrent": recurrent,
    "plan": plan,
}
