"""`python -m analysis compare A.csv B.csv | TABLE --arm COL`: the compute that a change is worth."""

import io
import shlex
import sys
from contextlib import redirect_stdout
from pathlib import Path

from analysis.commands import answers, shared
from analysis.commands.arguments import ROLES, OneOrMore, add_options, fixed_values, share
from analysis.commands.compare_answer import percent, said
from analysis.commands.compare_page import comparison_page
from analysis.commands.help import COMMANDS
from analysis.decisions import fairness, ladders
from analysis.decisions.compare import Comparison, Multiplier, compare, interval, number, tiny, trend_word
from analysis.figures.compare import plot_comparison
from analysis.fitting import Band
from analysis.tables import Runs
from analysis.tables.identity import best_of, best_tried, final_rows

FEW_RUNS = 3  # an arm of fewer runs, with curves, is compared by curve


def add(commands) -> None:
    sub = commands.add_parser("compare", help=COMMANDS["compare"][0])
    what = "a run table an arm, the baseline first; or one table with --arm"
    sub.add_argument("table", metavar="TABLE", nargs="+", action=OneOrMore, help=what)
    sub.add_argument("--arm", metavar="COL", help="the column that says which arm a run is of")
    sub.add_argument("--baseline", metavar="NAME", help="the arm to compare with (the first)")
    for role in ROLES:
        sub.add_argument(f"--{role}", metavar="COL", help=f"the column that holds {role}")
    add_options(sub, "--where", "--best-of", "--at")
    sub.add_argument(
        "--fix", action="append", default=[], metavar="NAME=VALUE", help="hold E, alpha or beta of both arms"
    )
    sub.add_argument("--anyway", action="store_true", help="compare losses of different text too")
    help = "what is known against the arms' runs, said with the answer; repeatable"
    sub.add_argument("--caution", action="append", default=[], metavar="TEXT", help=help)
    help = "of all intervals together, where a comparison was looked at while it was trained (default 0.95)"
    sub.add_argument("--level", type=share, default=0.95, metavar="P", help=help)
    sub.add_argument("--draws", type=int, default=2000, metavar="N", help="behind each interval (2000)")
    add_options(sub, "--seed", "--json", "--figure")
    sub.add_argument("-o", "--output", metavar="FILE.html", help="a page with all of it")
    sub.set_defaults(run=run, needs={"loss"}, runs=None, run_id=None)


def run(options) -> int:
    shared.check_outputs(options)
    tables, arms = options.table, read_arms(options)
    names = list(arms)
    baseline = named_baseline(options.baseline, arms)
    others = [name for name in names if name != baseline]
    fixed, comparisons, refused = fixed_values(options.fix), [], []
    if all(by_curve(runs) for runs in arms.values()):
        from analysis.commands.compare_curves import answer_curves

        options.table = tables
        return answer_curves(options, arms, baseline)
    final = {name: final_rows(runs) for name, runs in arms.items()}
    for name in others:
        try:
            runs, notes = fairness.comparable(
                (final[baseline], final[name]), (baseline, name), [options.arm or ""], options.anyway
            )
            joined = ladders.join(*runs, (baseline, name))
            joined.notes.extend([*options.caution, *notes])
            settings = {"at": options.at or (), "fixed": fixed, "draws": max(options.draws, 40 * len(others))}
            comparisons.append(
                compare(joined, **settings, seed=options.seed, level=1 - (1 - options.level) / len(others))
            )
        except ValueError as error:
            if len(others) == 1:
                raise
            refused.append(f"analysis compare: {name}: {error}")
    answers.say(None, said(comparisons, len(others)))
    for each in comparisons:
        show(each, len(others))
    if options.json and comparisons:
        shared.dump(
            options.json, [*map(as_json, comparisons)] if len(others) > 1 else as_json(comparisons[0])
        )
    for each in comparisons if options.figure else ():
        path = shared.named(options.figure, each.arm if len(others) > 1 else None, others)
        plot_comparison(each).savefig(path)
        print(f"figure: {path}")
    if options.output and comparisons:
        write_page(options.output, comparisons, len(others))
    print("\n".join(refused), file=sys.stderr, end="\n" * bool(refused))
    options.table = tables  # `read_arms` takes them one by one
    further = ("--json", "compare.json") if options.output else ("-o", "compare.html")
    print(f"Next: {answers.command(options, 'compare', *further)}")
    return int(bool(refused))


def write_page(path: str, comparisons: list[Comparison], arms: int) -> None:
    texts = []
    for each in comparisons:
        with redirect_stdout(io.StringIO()) as text:
            show(each, arms)
        texts.append(text.getvalue())
    command = "python -m analysis compare " + shlex.join(sys.argv[2:])
    html = comparison_page(comparisons, said(comparisons, arms), texts, command)
    Path(path).write_text(html, encoding="utf-8", errors="backslashreplace")
    print(f"page: {path}")


def read_arms(options) -> dict[str, Runs]:
    """The runs of each arm by name: a file each, or the values of a column."""
    tables = options.table if isinstance(options.table, list) else [options.table]
    if options.arm:
        best, options.best_of = options.best_of, None  # of each arm's cells
        whole = shared.read_table(options)
        arms, options.best_of = whole.by(options.arm), best
        if len(arms) < 2:
            raise ValueError(
                f"{whole.source}: --arm {options.arm} holds {', '.join(arms)} alone; a comparison takes 2"
            )
        return {name: best_of(runs, best) if best else best_tried(runs) for name, runs in arms.items()}
    if len(tables) < 2:
        raise ValueError(
            f"{tables[0]} alone: name the column that says which arm a run is of (--arm COL), or a second "
            "table"
        )
    short = [Path(path).stem for path in tables]
    names = short if len({*short}) == len(short) else [str(path) for path in tables]
    if len({*names}) < len(names):
        raise ValueError("a table is named twice: an arm compares with another")
    arms = {}
    for name, path in zip(names, tables, strict=True):
        options.table = path
        runs = shared.read_table(options)
        arms[name] = runs if options.best_of else best_tried(runs)
    return arms


def named_baseline(asked: str | None, arms: dict[str, Runs]) -> str:
    by_name = {name: name for name in arms} | {Path(runs.source).name: name for name, runs in arms.items()}
    by_name |= {runs.source: name for name, runs in arms.items()} if len(by_name) > len(arms) else {}
    if asked is None:
        return next(iter(arms))
    if asked not in by_name:
        raise ValueError(f"--baseline {asked}: the arms are {', '.join(map(str, arms))}")
    return by_name[asked]


def by_curve(runs: Runs) -> bool:
    """Whether an arm is a curve or two, and no ladder of runs."""
    if not runs.has("flops") and any(name in runs.columns for name in ("step", "steps", "global_step")):
        return True
    return len(runs.usable()) > 3 * FEW_RUNS and 0 < len(final_rows(runs).usable()) < FEW_RUNS


def show(each: Comparison, arms: int) -> None:
    rows = each.fit.rows
    arm, base = rows.arm.sum(), (1 - rows.arm).sum()
    law = "E + A·params^-alpha + B·tokens^-beta" if len(rows.law.inputs) == 3 else "E + A·flops^-alpha"
    print(f"\n{each.arm} against {each.baseline}: {arm:.0f} and {base:.0f} runs, {law}")
    print(f"  fit         {each.status}: {each.message}")
    print(f"  shared      {shared_words(each)}")
    pairs = f"; {each.pairs} pairs of runs, drawn as pairs" if each.pairs else ""
    print(f"  noise       {100 * each.noise:.2g} % of the loss, lack of fit included{pairs}")
    corrected = f", corrected for {arms} arms" if arms > 1 else ""
    wide = each.trend_p is not None
    own = "with exponents of each arm's own, which is wider than by what is shared" if wide else ""
    print(f"  intervals   {percent(each, arms)}{corrected}, {own or 'with all but scales shared'}")
    if each.trend_p is not None:
        ends = interval(each.trend)
        print(f"  trend       × {each.trend.value:.3g} {ends} per decade, p {tiny(each.trend_p)}")
    if each.crossing:
        print(f"  crossing    the arms meet at {each.crossing.value:.2g} FLOPs {interval(each.crossing)}")
    best = each.answer.compute
    if best.low <= 1 <= best.high and each.seeds < 1000:
        print(f"  to see it   {each.seeds:.0f} times these runs would show {best.value:.3g} times")
    for note in each.notes:
        shared.paragraph("CAUTION", note)
    print(
        f"\n  {'FLOPs':>10}  {'its loss':>11}  {'baseline':>8}  {'× compute':<26}"
        + "".join(f"{'× ' + n:<26}" for n in further(each))
    )
    for row in each.budgets:
        cells = "".join(f"{cell(getattr(row, name)):<26}" for name in ("compute", *further(each)))
        far = f"  {row.beyond:.3g} × beyond the runs" if row.extrapolated else ""
        print(f"  {row.flops:>10.3g}  {row.loss:>11.4f}  {row.baseline_loss:>8.4f}  {cells}{far}".rstrip())


def further(each: Comparison) -> list[str]:
    return [name for name in ("tokens", "params", "time") if getattr(each.budgets[0], name) is not None]


def cell(band: Band) -> str:
    return f"{number(band.value)} {interval(band)}"


def shared_words(each: Comparison) -> str:
    parts = []
    for name, p in each.tests.items():
        if p is None:
            parts.append(f"{name} (not tested)")
        else:
            parts.append(f"{name} {'shared' if each.shared[name] else 'differ'} (p {tiny(p)})")
    values = [f"{name} {cell(band)}" for name, band in each.models.items()]
    return "; ".join(parts) + f". By model, at the largest: {'; '.join(values)}"


def as_json(each: Comparison) -> dict:
    return {
        "arm": each.arm,
        "baseline": each.baseline,
        "answer": each.headline,
        "budgets": [budget_json(row) for row in each.budgets],
        "trend": {
            "per_decade": each.trend.value,
            **shared.pick(each.trend, "low", "high"),
            "p": each.trend_p,
            "word": trend_word(each),
        },
        "shared": {
            **each.shared,
            "p": each.tests,
            "models": {n: shared.band_json(b) for n, b in each.models.items()},
        },
        "crossing": each.crossing and shared.band_json(each.crossing),
        **shared.pick(each, "status", "message", "smallest", "seeds", "noise", "pairs", "level"),
        "cautions": each.notes,
    }


def budget_json(row: Multiplier) -> dict:
    parts = {name: getattr(row, name) for name in ("tokens", "params", "time")}
    return {
        "flops": row.flops,
        "multiplier": row.compute.value,
        "low": row.compute.low,
        "high": row.compute.high,
        **shared.pick(row, "loss", "baseline_loss", "extrapolated"),
        **{name: shared.band_json(band) for name, band in parts.items() if band is not None},
    }
