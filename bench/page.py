"""Writes the tables of docs/performance.md from bench/results: what stands between
`<!-- NAME -->` and `<!-- end -->` there is replaced by the table NAME, the rest stays."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import roofline

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
BLOCK = re.compile(r"(<!-- (\w+) -->\n).*?(<!-- end -->)", re.S)


def write(results: Path, page: Path = PAGE) -> list[str]:
    """Rewrite the page's tables; names of those for which there are no results."""
    absent = []

    def table(found: re.Match) -> str:
        name = found[2]
        path = results / f"{name}.json"
        if name != "roofline" and not path.exists():
            absent.append(name)
            return found[0]
        lines = TABLES[name](json.loads(path.read_text()) if name != "roofline" else {})
        return found[1] + "\n".join(lines) + "\n" + found[3]

    page.write_text(BLOCK.sub(table, page.read_text(encoding="utf-8")), encoding="utf-8")
    return absent


def measured(found: dict[str, Any]) -> str:
    """Where and when, in a line."""
    machine, others = found["machine"], found["others"]
    versions = dict(found["versions"]) | found.get("peer_versions", {})
    units = [flag for flag in machine["flags"] if flag.startswith(("avx512_bf", "amx"))]
    busy = "unknown"
    if others["others_max"] is not None:
        middle, most = (100 * others[f"others_{name}"] for name in ("median", "max"))
        busy = f"median {middle:.0f} %, at most {most:.0f} %"
        if middle > 100 * others["bound"]:
            busy += ". **The machine was not quiet: these are not this lab's numbers yet**"
    kept = ", ".join(f"{name} {versions[name]}" for name in KEPT if name in versions)
    return (
        f"{found['date'][:10]}, {machine['processor']} (family/model {machine['family_model']}), "
        f"{machine['cores']} cores{', virtual' if machine['virtual'] else ''}, bfloat16 units: "
        f"{', '.join(units) or 'none'}; {kept}. Others used of the machine while it was timed: "
        f"{busy}."
    )


KEPT = ("python", "jax", "flax", "optax", "torch", "transformers")


def grid(found: dict[str, Any]) -> list[str]:
    """The fastest way of each peer, then all."""
    races = found["races"]
    families = list(dict.fromkeys(name for race in races for name in race["best"]))
    out = [
        measured(found),
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
            f"{race['best'][one]['ours_over_it']['median']:.2f}" if one in race["best"] else ""
            for one in families
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
        for one in race["results"]:
            head = f"| {race['shape']} | {race['dtype']} | {one['name']} | "
            if "failed" in one:
                out.append(f"{head}failed: {one['failed'].replace('|', '/')} | | | |")
            elif times := one.get("ours_over_it"):
                each = one["ours_over_it_per_processor_second"]["median"]
                out.append(
                    f"{head}{one['rate']:,.0f} | {times['median']:.2f} × | "
                    f"{times['low']:.2f}–{times['high']:.2f} | {each:.2f} × |"
                )
            else:
                out.append(f"{head}{one['rate']:,.0f} | | | |")
    out += [f"\nLeft out: {name} ({why})." for name, why in found["left_out"].items()]
    return out


def peak(found: dict[str, Any]) -> list[str]:
    out = [measured(found), "", "| | rate |", "|---|---|"]
    for one in found["results"]:
        unit = "GB/s" if "bytes" in one else "GFLOP/s"
        said = f"failed: {one['failed']}" if "failed" in one else f"{one['rate'] / 1e9:,.1f} {unit}"
        out.append(f"| {one['name']} | {said} |")
    if found["utilisation"]:
        out += ["", "| shape | dtype | our step, GFLOP/s | of the fastest product |", "|---|---|---|---|"]
    for one in found["utilisation"]:
        out.append(
            f"| {one['shape']} | {one['dtype']} | {one['flops_per_second'] / 1e9:,.1f} | "
            f"{100 * one['utilisation']:.0f} % |"
        )
    return out


def many(found: dict[str, Any]) -> list[str]:
    out = [measured(found), "", "| shape | how | tokens/s | of one run on one device |", "|---|---|---|---|"]
    for race in found["races"]:
        for one in race["results"]:
            times = one.get("over_one_device")
            said = (
                f"{one['rate']:,.0f} | {times['median']:.2f} ×"
                if times
                else f"failed: {one.get('failed', '')} |"
            )
            out.append(f"| {race['shape']} | {one['name']} | {said} |")
    return out


def start(found: dict[str, Any]) -> list[str]:
    cold, warm = found["parts"]["cold"], found["parts"]["warm"]
    return [
        measured(found),
        "",
        "| seconds | cold | warm |",
        "|---|---|---|",
        *(f"| {name} | {cold[name]:.2f} | {warm[name]:.2f} |" for name in cold),
    ]


def overhead(found: dict[str, Any]) -> list[str]:
    shares = sorted(found["shares_of_the_worker"].items(), key=lambda item: -item[1])
    return [
        measured(found),
        "",
        f"A worker's {found['worker_seconds']:.1f} s on {found['shape']}, "
        f"{found['tokens_of_a_run']:,} tokens:",
        "",
        "| | share |",
        "|---|---|",
        *(f"| {name} | {100 * share:.2f} % |" for name, share in shares),
        "",
        f"`lab run` of {found['runs']} such runs took {found['lab_run_seconds']:.1f} s from its "
        f"start to its end; {100 * found['lab_run_outside_the_step']:.1f} % of that is not steps.",
    ]


def growth(found: dict[str, Any]) -> list[str]:
    figure = "![Tokens a second over size and context; seconds a run over the runs of a grid]"
    out = [
        measured(found),
        "",
        f"{figure}(../bench/results/growth.png)",
        "",
        "| runs of 4 updates | `lab run`, s | s a run |",
        "|---|---|---|",
    ]
    return out + [
        f"| {one['runs']:,} | {one['seconds']:.1f} | {one['seconds_a_run']:.2f} |" for one in found["grids"]
    ]


def recurrent(found: dict[str, Any]) -> list[str]:
    out = [
        measured(found),
        "",
        "| shape | model | tokens a processor second | time a token, over the Transformer's | rounds |",
        "|---|---|---|---|---|",
    ]
    for race in found["races"]:
        for one in race["results"]:
            head = f"| {race['shape']} | {one['name']} |"
            if times := one.get("transformer_over_it"):
                out.append(
                    f"{head} {one['per_processor_second']:,.0f} | {times['median']:.2f} × | "
                    f"{times['low']:.2f}–{times['high']:.2f} |"
                )
            else:
                out.append(f"{head} failed: {one.get('failed', '')} | | |")
    return out


TABLES: dict[str, Callable[[dict[str, Any]], list[str]]] = {
    "grid": grid,
    "peak": peak,
    "many": many,
    "start": start,
    "overhead": overhead,
    "growth": growth,
    "recurrent": recurrent,
    "roofline": lambda _: roofline.lines(),
}
