"""`python -m analysis fit|isoflop|frontier|report TABLE`: laws and frontiers from the command line;
`python -m analysis reproduce PAPER`: published ones, computed again.

Exit status: 0 did its job, 1 refused and says what, 2 wrong usage.
"""

import argparse
import json
import math
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from analysis import cost as costs
from analysis import fit as fitting
from analysis import frontier, isoflop, table, uncertainty
from analysis.laws import LAWS, Chinchilla
from analysis.papers import command as papers
from analysis.solve import OBJECTIVES

ROLES = ("params", "tokens", "flops", "loss", "budget")
OTHERS = sorted({name for law in LAWS.values() for name in (*law.inputs, law.output)} - {*ROLES})


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    try:
        return options.run(options)
    except (ValueError, OSError) as error:
        print(f"analysis {options.command}: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        return 0


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m analysis", description=__doc__.split("\n")[0])
    commands = top.add_subparsers(dest="command", required=True)

    def command(name: str, run, help: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=help, description=help)
        sub.set_defaults(run=run)
        sub.add_argument("table", metavar="TABLE", help="run table, csv or jsonl")
        for role in ROLES:
            sub.add_argument(f"--{role}", metavar="COL", help=f"the column that holds {role}")
        sub.add_argument("--where", metavar="EXPR", help="rows to use: \"tag=='hot' and loss<4\"")
        sub.add_argument("--by", metavar="COL", help="repeat for each value of this column")
        sub.add_argument("--json", metavar="FILE", help="write results in full precision")
        sub.add_argument("--seed", type=int, default=0, help="of resampling (default 0)")
        return sub

    fit = command("fit", run_fit, "fit a law's parameters")
    fit.add_argument("--law", choices=LAWS, default="chinchilla")
    for name in OTHERS:
        fit.add_argument(f"--{name}", metavar="COL", help=f"the column that holds a law's {name}")
    fit.add_argument("--fix", action="append", default=[], metavar="NAME=VALUE",
                     help="hold a parameter: E=0 for a power law without floor")  # fmt: skip
    fit.add_argument("--bootstrap", type=int, default=0, metavar="N", help="resamples (default 0)")
    iso = command("isoflop", run_isoflop, "the best size at each budget")
    front = command("frontier", run_frontier, "params, tokens and loss against compute")
    front.add_argument("--at", type=number_list, metavar="F,F", help="budgets to extrapolate to")
    front.add_argument("--method", choices=("fit", "isoflop", "all"), default="all")
    front.add_argument("--valley", choices=isoflop.METHODS, default="interpolate",
                       help="how isoflop finds a minimum")  # fmt: skip
    page = command("report", run_report, "one HTML page with figures, tables and warnings")
    page.add_argument("-o", "--output", default="report.html", metavar="FILE")
    page.add_argument("--title", help="of the page")
    iso.add_argument("--method", choices=isoflop.METHODS, default="interpolate")
    for sub in (fit, front, page):
        sub.add_argument("--objective", choices=OBJECTIVES, default="huber-log")
        sub.add_argument("--delta", type=positive, default=1e-3, help="huber-log's (default 1e-3)")
    for sub in (front, page):
        sub.add_argument("--bootstrap", type=int, default=1000, metavar="N", help="default 1000")
    for sub in (iso, front, page):
        sub.add_argument("--window", type=positive, default=1.0, help="in ln params (default 1)")
        sub.add_argument("--budgets", type=number_list, metavar="F,F", help="FLOPs to group by")
        sub.add_argument("--cost", choices=("table", "6nd"), default="table")
    for sub in (fit, iso, front):
        sub.add_argument("--figure", metavar="FILE", help="png, pdf or svg")
    papers.add(commands)
    return top


def positive(text: str) -> float:
    number = float(text)
    if not (number > 0 and math.isfinite(number)):
        raise ValueError
    return number


def number_list(text: str) -> list[float]:
    return [positive(part) for part in text.split(",") if part.strip()]


def groups(options) -> list[tuple[str | None, table.Runs]]:
    """(group, runs) of the table asked for; one group None without --by."""
    roles = {role: getattr(options, role) for role in ROLES}
    if hasattr(options, "law"):
        law = LAWS[options.law]
        for name in (*law.inputs, law.output):
            if name in OTHERS and played_by(options, name) not in ROLES:
                roles[name] = played_by(options, name)
    runs = table.read(options.table, where=options.where, **roles)
    if getattr(options, "cost", "table") == "6nd":
        runs = runs.with_column("flops", 6 * runs.params * runs.tokens, "6·params·tokens, as asked")
    return list(runs.by(options.by).items()) if options.by else [(None, runs)]


def played_by(options, name: str) -> str:
    """The column, or role, that plays a law's input or output."""
    return name if name in ROLES else getattr(options, name) or name


def run_fit(options) -> int:
    law, fixed = LAWS[options.law], {}
    for text in options.fix:
        name, _, value = text.partition("=")
        try:
            fixed[name.strip()] = float(value)
        except ValueError:
            raise ValueError(f"--fix {text!r}: write NAME=VALUE, such as E=0") from None
    if "x" in law.inputs and not (options.x and options.y):
        raise ValueError(f"--law {options.law} has one variable: name it with --x COL --y COL")
    inputs = tuple(played_by(options, name) for name in law.inputs)
    output = played_by(options, law.output)
    if options.figure and len(inputs) > 1 and law is not Chinchilla:
        raise ValueError(f"--figure draws chinchilla and laws of one variable, not {options.law}")
    results, fits = [], []
    for group, runs in groups(options):
        found = fitting.fit(law, runs, objective=options.objective, delta=options.delta,
                            inputs=inputs, output=output, fixed=fixed)  # fmt: skip
        if options.bootstrap:
            found = uncertainty.pairs(found, options.bootstrap, options.seed)
        print_fit(group, runs, found)
        fits.append((group, found))
        results.append(with_group(group, fit_json(found)))
    write_json(options, results)
    if options.figure:
        from analysis import figures

        save(options, [(g, lambda f=f: figures.law(f)) for g, f in fits])
    return 0


def run_isoflop(options) -> int:
    results, drawn = [], []
    for group, runs in groups(options):
        iso, found = valleys(options, runs, options.method)
        print_frontier(group, runs, found, iso)
        results.append(with_group(group, frontier_json(found)))
        drawn.append((group, iso, found))
    write_json(options, results)
    if options.figure:
        from analysis import figures

        save(options, [(g, lambda i=i, f=f: figures.isoflop(i, f)) for g, i, f in drawn])
    return 0


def valleys(options, runs, method: str):
    iso = isoflop.optima(runs, method=method, window=options.window, budgets=options.budgets,
                         seed=options.seed)  # fmt: skip
    return iso, frontier.from_isoflop(iso, cost_of(options, runs))


def cost_of(options, runs) -> costs.Cost:
    return costs.of(runs, options.cost)


def parametric(options, runs):
    found = fitting.fit(Chinchilla, runs, objective=options.objective, delta=options.delta)
    if options.bootstrap:
        found = uncertainty.pairs(found, options.bootstrap, options.seed)
    flops = np.array(sorted(options.budgets)) if options.budgets else None
    return found, frontier.from_fit(found, cost_of(options, runs), flops)


def run_frontier(options) -> int:
    results, drawn = [], []
    for group, runs in groups(options):
        found, refused = [], []
        for method in ("isoflop", "fit") if options.method == "all" else (options.method,):
            try:
                if method == "isoflop":
                    found.append(valleys(options, runs, options.valley)[1])
                else:
                    found.append(parametric(options, runs)[1])
            except ValueError as error:
                refused.append(f"{method}: {error}")
        if not found:
            raise ValueError("; ".join(refused))
        for each in found:
            print_frontier(group, runs, each, None, options.at)
            several = options.by or options.method == "all"
            result = frontier_json(each, options.at)
            results.append({"group": group, **result} if several else result)
        for reason in refused:
            print(f"no frontier by {reason}\n")
        if len(found) == 2:
            print(frontier.agree(*found) + "\n")
        drawn.append((group, found))
    if options.json:
        several = options.by or options.method == "all"
        dump(options.json, results if several else results[0])
    if options.figure:
        from analysis import figures

        save(options, [(g, lambda f=f: figures.frontier(f)) for g, f in drawn])
    return 0


def run_report(options) -> int:
    from analysis import report

    pages = []
    for group, runs in groups(options):
        title = options.title or f"Scaling of {Path(options.table).name}"
        title += f", {options.by} = {group}" if group else ""
        found, iso, fronts, notes = None, None, [], []
        for make in (
            lambda runs=runs: valleys(options, runs, "interpolate"),
            lambda runs=runs: parametric(options, runs),
        ):
            try:
                result, front = make()
                fronts.append(front)
                if isinstance(result, isoflop.Isoflop):
                    iso = result
                else:
                    found = result
            except ValueError as error:
                notes.append(f"Left out: {error}")
        if not fronts:
            raise ValueError("; ".join(notes))
        command = "python -m analysis report " + shlex.join(sys.argv[2:])
        html = report.page(runs, title=title, fit=found, isoflop=iso, frontiers=fronts,
                           notes=notes, command=command)  # fmt: skip
        pages.append((group, html))
        if options.json:
            results = [{"group": group, **frontier_json(front)} for front in fronts]
            dump(named(options.json, group), results)
    for group, html in pages:
        path = named(options.output, group)
        path.write_text(html, encoding="utf-8")
        print(path)
    return 0


def with_group(group: str | None, result: dict) -> dict:
    return result if group is None else {"group": group, **result}


def named(path: str, group: str | None) -> Path:
    """FILE, or FILE-GROUP.ext for one of several."""
    base = Path(path)
    if group is None:
        return base
    safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in group)
    return base.with_name(f"{base.stem}-{safe}{base.suffix}")


def save(options, makers) -> None:
    """Write the figures of all groups."""
    for group, make in makers:
        path = named(options.figure, group)
        make().savefig(path)
        print(f"figure: {path}")


def write_json(options, results: list[dict]) -> None:
    if options.json:
        dump(options.json, results if options.by else results[0])


def dump(path, value) -> None:
    Path(path).write_text(json.dumps(clean(value), indent=1, ensure_ascii=False) + "\n")


def clean(value):
    """JSON has no NaN: null in its place; NumPy numbers become plain ones."""
    if isinstance(value, dict):
        return {key: clean(part) for key, part in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [clean(part) for part in value]
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value


def fit_json(found: fitting.Fit) -> dict:
    parameters = {}
    for name, value in found.parameters.items():
        low, high = found.interval(name)
        parameters[name] = {"value": value, "low": low, "high": high}
    objective = found.objective
    return {
        "law": type(found.law).__name__,
        "parameters": parameters,
        "objective": {
            "name": objective.name,
            "delta": objective.delta,
            "reduction": objective.reduction,
            "value": objective.value,
        },
        "runs": len(found.runs),
        "dropped": [{"row": row, "reason": reason} for row, reason in found.dropped],
        "starts_agreeing": found.starts_agreeing,
        "status": found.status,
        "message": found.message,
    }


def frontier_json(found: frontier.Frontier, at: list[float] | None = None) -> dict:
    """`low` and `high` of a point are the 95 % interval of its params."""

    def points(flops, params, tokens, loss, status):
        rows = zip(flops, params.value, tokens.value, loss.value, params.low, params.high, status,
                   strict=True)  # fmt: skip
        keys = ("flops", "params", "tokens", "loss", "low", "high", "status")
        return [dict(zip(keys, row, strict=True)) for row in rows]

    if at:
        bands = found.at(at)
        shown = points(at, *bands, [found.status] * len(at))
    else:
        shown = points(found.flops, found.params, found.tokens, found.loss, found.point_status)

    def exponent(band: frontier.Band) -> dict:
        return {"value": band.value, "low": band.low, "high": band.high}

    return {
        "method": found.method,
        "convention": found.convention,
        "cost": str(found.cost),
        "params_exponent": exponent(found.params_exponent),
        "tokens_exponent": exponent(found.tokens_exponent),
        "points": shown,
        "status": found.status,
        "message": found.message,
    }


def print_head(group, runs: table.Runs, what: str) -> None:
    used, dropped = len(runs.usable()), runs.dropped()
    print(f"{what}: {runs.source}" + (f" [{group}]" if group is not None else ""))
    print(f"  runs        {used} used, {len(dropped)} flagged")
    counts: dict[str, list[int]] = {}
    for row, reason in dropped:
        counts.setdefault(reason, []).append(row)
    for reason, rows in list(counts.items())[:8]:
        shown = ", ".join(map(str, rows[:5])) + (", ..." if len(rows) > 5 else "")
        print(f"              {len(rows)} × {reason} (row {shown})")
    print(f"  convention  {frontier.convention(runs)}")


def print_fit(group, runs, found: fitting.Fit) -> None:
    print_head(group, runs, f"{type(found.law).__name__} fit")
    objective = found.objective
    delta = f" delta {objective.delta:g}," if objective.delta else ""
    print(f"  objective   {objective.name},{delta} sum = {objective.value:.9g}; "
          f"rms log residual {found.rmse:.3g}")  # fmt: skip
    print(f"  starts      {found.starts_agreeing} of {found.starts} agree")
    print(f"  status      {found.status}: {found.message}\n")
    for name, value in found.parameters.items():
        low, high = found.interval(name)
        fixed = "  (fixed)" if name in found.fixed else ""
        ends = f"  95 % ({low:.6g}, {high:.6g})" if low is not None else ""
        print(f"  {name:<8}{value:>14.6g}{ends if not fixed else fixed}")
    if isinstance(found.law, Chinchilla) and found.status in ("ok", "few", "edge"):
        cost = costs.of(found.runs)
        a, b = found.law.exponents(cost.p)
        print(f"\n  params ∝ flops^{a:.4f}, tokens ∝ flops^{b:.4f} under {cost}")
    print()


def print_frontier(group, runs, found: frontier.Frontier, iso=None, at=None) -> None:
    print_head(group, runs, f"frontier by {found.method}")
    print(f"  cost        {found.cost}")
    if iso is not None:
        print(f"  noise       {iso.sigma:.2g} in log loss, from {iso.sigma_source}")
        for note in iso.notes:
            print(f"              {note}")
    print(f"  status      {found.status}: {found.message}")
    print(f"  params ∝ flops^a   a = {found.params_exponent}")
    print(f"  tokens ∝ flops^b   b = {found.tokens_exponent}\n")
    print(f"  {'flops':>10}  {'params':>10} {'95 %':>22}  {'tokens':>10}  {'loss':>8}  status")
    lines = list(zip(found.flops, *rows_of(found.params, found.tokens, found.loss),
                     found.point_status, strict=True))  # fmt: skip
    if at:
        print_lines(lines)
        print(f"  at the budgets asked for (loss by {found.loss_note}):")
        top = found.flops.max()
        words = [f"{f / top:.3g} × the largest budget" if f > top else "inside" for f in at]
        lines = list(zip(at, *rows_of(*found.at(at)), words, strict=True))
    print_lines(lines)
    print()


def rows_of(params, tokens, loss):
    return params.value, params.low, params.high, tokens.value, loss.value


def print_lines(lines) -> None:
    for flops, n, low, high, d, loss, status in lines:
        ends = f"({low:.4g}, {high:.4g})" if np.isfinite(low) else ""
        print(f"  {flops:>10.3g}  {n:>10.4g} {ends:>22}  {d:>10.4g}  {loss:>8.4f}  {status}")


if __name__ == "__main__":
    sys.exit(main())
