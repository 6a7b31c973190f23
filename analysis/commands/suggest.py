"""`python -m analysis suggest TABLE --for exponent|loss@C|multiplier --flops F`: which runs to add."""

import argparse
import math

import numpy as np

from analysis.commands import answers, shared
from analysis.commands.arguments import ROLES, command, positive
from analysis.commands.suggest_grid import grid_file
from analysis.decisions.suggest import Suggestion, Target, suggest
from analysis.figures.words import human, short
from analysis.fitting import fit
from analysis.headline import power
from analysis.laws import Chinchilla
from analysis.tables import Runs, table


def add(commands) -> None:
    help, roles = (
        "which runs to add so that an interval shrinks most",
        [role for role in ROLES if role != "flops"],
    )
    sub = command(commands, "suggest", run, roles=roles)
    sub.add_argument(
        "--for",
        dest="asked",
        type=target,
        required=True,
        metavar="exponent|loss@C|multiplier",
        help="the number whose interval shall shrink: params_exponent, a loss, or a multiplier (at C FLOPs)",
    )
    help = "FLOPs that the added runs may cost together"
    sub.add_argument("--flops", dest="spend", type=positive, required=True, metavar="F", help=help)
    sub.add_argument(
        "-o", "--output", metavar="FILE.py", help="write the runs as a grid that `lab run` takes"
    )
    help = "a table of params and tokens to choose from, instead of the runs' own sizes and lengths"
    sub.add_argument("--among", metavar="CELLS", help=help)
    sub.set_defaults(figure=None)


def target(text: str) -> tuple[str, float | None]:
    name, at, number = text.partition("@")
    name = name.removeprefix("params_")
    if (
        name not in ("exponent", "loss", "multiplier")
        or (name == "exponent" and at)
        or (name == "loss" and not at)
    ):
        raise argparse.ArgumentTypeError(
            f"{text!r}: write exponent, loss@1e15, multiplier or multiplier@1e15"
        )
    return name, positive(number) if at else None


def run(options) -> int:
    if options.output and options.by:
        raise ValueError("-o and --by: a grid is of one table; choose its rows with --where")

    cells = among(options.among) if options.among else None

    def answer(group, runs: Runs):
        fitted = fit(Chinchilla, runs)
        name, at = options.asked
        wanted = Target(name, at or float(fitted.runs.flops.max()))
        suggestion = suggest(fitted, wanted, options.spend, cells, seed=options.seed)
        print(headline(suggestion))
        if fitted.status != "ok":
            print(f"The widths are a guess: the fit is {fitted.status}: {fitted.message}.")
        show(group, runs, fitted, suggestion)
        if options.output:
            own_corpus = grid_file(options.output, fitted.runs, suggestion)
            first = "" if own_corpus else f"set CORPUS in {options.output} first, then "
            options.next = f"{first}python -m lab {'run' if own_corpus else 'plan'} {options.output}"
        else:
            asked = name if at is None else f"{name}@{power(at)}"
            words = ("--for", asked, "--flops", power(options.spend), "-o", "grid.py")
            answers.suggest(options, "suggest", *words)
        return as_json(suggestion, fitted), None

    return shared.each_group(options, answer)


def among(path: str) -> tuple[np.ndarray, np.ndarray]:
    """(params, tokens) of the cells to choose from."""
    cells = table.read(path, needs={"params", "tokens"})
    return cells.params, cells.tokens


def half(suggestion: Suggestion, width: float) -> str:
    """± of an exponent, or of a number whose logarithm it is, in percent."""
    if not math.isfinite(width):
        return "unknown"
    if suggestion.asked == "exponent":
        return f"±{width:.3g}"
    return f"±{100 * math.expm1(width):.3g} %" if width < 5 else "no end"


def headline(suggestion: Suggestion) -> str:
    spent, arms = suggestion.flops.sum(), " in both arms" if suggestion.arms == 2 else ""
    before, after = half(suggestion, suggestion.before), half(suggestion, suggestion.after)
    words = f"{len(suggestion.flops)} runs{arms}, {power(spent)} FLOPs: {suggestion.asked}"
    simulated = half(suggestion, suggestion.simulated)
    by_simulation = f" ({simulated} by simulation)" * bool(np.isfinite(suggestion.simulated))
    return f"{words} from {before} to {after}{by_simulation}"


def show(group, runs: Runs, fitted, suggestion: Suggestion) -> None:
    print()
    shared.print_head(group, runs, "suggested runs")
    print(f"  fit         {fitted.status}: {fitted.message}")
    print(f"  noise       {100 * suggestion.noise:.2g} % of the loss")
    if suggestion.note:
        shared.paragraph("CAUTION", suggestion.note)
    print(f"\n  {'params':>10}  {'tokens':>10}  {'FLOPs':>9}  seeds  for")
    for n, d, flops, seeds, form in lines(suggestion):
        size, length = human(short(n)), human(short(d))
        goal = "the form" if form else suggestion.asked
        print(f"  {size:>10}  {length:>10}  {power(flops):>9}  {seeds:>5}  {goal}")
    print()


def lines(suggestion: Suggestion) -> list[tuple[float, float, float, int, bool]]:
    """(params, tokens, FLOPs of one, seeds, whether it checks the form) of each cell, by size."""
    cells: dict[tuple[float, float], list] = {}
    for n, d, flops, form in zip(
        suggestion.params, suggestion.tokens, suggestion.flops, suggestion.form, strict=True
    ):
        cell = cells.setdefault((float(n), float(d)), [float(flops), 0, True])
        cell[1] += 1
        cell[2] &= bool(form)
    return [(n, d, *rest) for (n, d), rest in sorted(cells.items())]


def as_json(suggestion: Suggestion, fitted) -> dict:
    keys = ("params", "tokens", "flops", "seeds", "form")
    return {
        "for": suggestion.asked,
        "answer": headline(suggestion),
        "runs": [dict(zip(keys, line, strict=True)) for line in lines(suggestion)],
        "flops": float(suggestion.flops.sum()),
        **shared.pick(suggestion, "value", "before", "after", "simulated", "noise"),
        **shared.pick(fitted, "status", "message"),
        "cautions": [*filter(None, [suggestion.note]), *fitted.cautions],
    }
