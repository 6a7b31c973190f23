"""`python -m analysis fit TABLE --law NAME`: a law's parameters."""

import argparse
from collections.abc import Callable

import numpy as np

from analysis import fitting, frontiers
from analysis.commands import answers, shared
from analysis.commands.arguments import OTHERS, add_fit_options, add_options, command, fixed_values
from analysis.figures import plot_fit
from analysis.figures.words import share
from analysis.fitting.band import span
from analysis.laws import LAWS
from analysis.laws.find import AUTO, find_law
from analysis.tables import Runs

# how well parameters are known: the high end of the widest interval over its low end, at most
GRADES = {"strong": 1.3, "moderate": 2.0, "weak": np.inf}


def add(commands) -> None:
    sub = command(commands, "fit", run)
    add_law(sub, "none")
    add_options(sub, "--figure")


def add_law(sub, intervals: str) -> None:
    """The options that name a law, what plays its inputs, and how it is fitted."""
    add_law_name(sub)
    for name in OTHERS:
        sub.add_argument(f"--{name}", metavar="COL", help=f"the column that holds a law's {name}")
    sub.add_argument(
        "--fix",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="hold a parameter: E=0 for a power law without floor",
    )
    add_fit_options(sub, intervals)


def add_law_name(sub) -> None:
    sub.add_argument(
        "--law",
        type=law_name,
        default="chinchilla",
        metavar="LAW",
        help=f"{', '.join(LAWS)}; FILE.py:CLASS; or {AUTO}: the form that forecasts best",
    )


def law_name(text: str) -> str:
    try:
        find_law(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def run(options) -> int:
    fit_rows = fitter(options)

    def answer(group, runs):
        fitted = fit_rows(runs)
        best = answers.of_table(options, runs, fitted)
        profiles = best.audit.profiles if best and best.audit and fitted.intervals == "none" else {}
        answers.say(group, [in_a_line(fitted, profiles), *how_known(fitted, profiles)])
        answers.head(group, best)
        if not best:
            print()
        show(group, runs, fitted, options.verbose, profiles, best)
        answers.suggest_audit(options, fitted)
        return as_json(fitted, profiles), lambda: plot_fit(fitted)

    return shared.each_group(options, answer)


def fitter(options) -> Callable[[Runs], fitting.Fit]:
    """The fit, with its intervals, that the options ask for, of any rows."""
    law, fixed = find_law(options.law), fixed_values(options.fix)
    shared.find_inputs(options, law)
    if "x" in law.inputs and not (options.x and options.y):
        raise ValueError(f"--law {options.law} has one variable: name it with --x COL --y COL")
    inputs = tuple(shared.played_by(options, name) for name in law.inputs)
    output = shared.played_by(options, law.output)

    def fit_rows(runs: Runs) -> fitting.Fit:
        fitted = fitting.fit(
            shared.named_law(options.law),
            runs,
            **shared.pick(options, "objective", "delta"),
            inputs=inputs,
            output=runs.converted(law.output, output),
            fixed=fixed,
        )
        return shared.with_intervals(options, fitted)

    return fit_rows


def ends_of(fitted: fitting.Fit, name: str, profiles) -> tuple[float | None, float | None]:
    """A parameter's 95 %: the fit's own, or as the audit traced it; (None, None) where there is none."""
    return (profiles[name].low, profiles[name].high) if name in profiles else fitted.interval(name)


def in_a_line(fitted: fitting.Fit, profiles) -> str:
    """The law's parameters, and whether they may be used."""
    words = []
    for name, value in fitted.parameters.items():
        low, high = ends_of(fitted, name, profiles)
        words.append(
            f"{name} {value:.4g}"
            + (f" {span(low, high, '{:.3g}'.format, ' to ')}" if low is not None else "")
        )
    first = "" if fitted.status == "ok" else f"NOT TO BE RELIED ON ({fitted.status}). "
    return f"{first}{type(fitted.law).__name__}: {', '.join(words)}."


def how_known(fitted: fitting.Fit, profiles) -> list[str]:
    """In a word how well the runs tell the law's parameters, and the two that they tell worst."""
    ends = {name: ends_of(fitted, name, profiles) for name in fitted.parameters}
    ends = {name: (low, high) for name, (low, high) in ends.items() if low is not None and np.isfinite(low)}
    if fitted.status != "ok" or not ends:
        return []
    wide = {
        name: high / low if low > 0 else np.inf
        for name, (low, high) in ends.items()
        if not fitted.lifted(name)  # of an output whose zero says nothing
    }
    worst = sorted(wide, key=wide.get, reverse=True)[:2]
    word = next(word for word, most in GRADES.items() if wide[worst[0]] <= most)
    told = ", ".join(f"{n} spans {share(wide[n]) if np.isfinite(wide[n]) else 'zero'}" for n in worst)
    return [f"Evidence for these coefficients: {word} (95 % of {told})."]


def as_json(fitted: fitting.Fit, profiles) -> dict:
    parameters = {}
    for name, value in fitted.parameters.items():
        low, high = ends_of(fitted, name, profiles)
        parameters[name] = {"value": value, "low": low, "high": high}
    return {
        "law": type(fitted.law).__name__,
        "parameters": parameters,
        "objective": shared.pick(fitted.objective, "name", "delta", "reduction", "value"),
        "runs": len(fitted.runs),
        "dropped": [{"row": row, "reason": reason} for row, reason in fitted.dropped],
        **shared.pick(fitted, "starts_agreeing", "status", "message"),
        "intervals": "profile" if profiles else fitted.intervals,
        "cautions": fitted.cautions,
        **forms_json(fitted),
    }


def forms_json(fitted: fitting.Fit) -> dict:
    """The forms that "auto" weighed, the best first; no key of any other law."""
    if not fitted.forms:
        return {}
    keys = ("name", "floor", "within", "since", "rows", "error", "weight", "status")
    return {"forms": [{**shared.pick(form, *keys), "parameters": vars(form.law)} for form in fitted.forms]}


def show_forms(fitted: fitting.Fit) -> None:
    for i, form in enumerate(fitted.forms):
        print(f"  {'' if i else 'forms':<12}{form!s:<44}weight {form.weight:.2f}, {form.status}")


def used(runs: Runs, fitted: fitting.Fit) -> Runs:
    """The runs, of which those that "auto" left out are flagged too."""
    for row, reason in fitted.dropped if fitted.forms else ():
        runs = runs.flag(row, reason)
    return runs


def show(group, runs, fitted: fitting.Fit, verbose: bool = False, profiles=None, best=None) -> None:
    """`profiles`: of parameters whose intervals nobody asked for and the audit traced; `best`: the headline
    that stands above."""
    shared.print_head(group, used(runs, fitted), f"{type(fitted.law).__name__} fit", fitted.cautions)
    if verbose:
        show_objective(fitted)
    shared.paragraph("fit", answers.unsaid(best, f"{fitted.status}: {fitted.message}"))
    if fitted.intervals != "none" or verbose:
        print(f"  intervals   {describe_intervals(fitted)}")
    named = [f"{a} = {b}" for a, b in zip(fitted.law.inputs, fitted.inputs, strict=True) if a != b]
    if named:
        print(f"  columns     {', '.join(named)}; {fitted.law.output} = {fitted.output}")
    show_forms(fitted)
    print()
    show_parameters(fitted, profiles or {})
    if hasattr(fitted.law, "exponents") and fitted.status in ("ok", "few", "edge"):
        cost = frontiers.fit_cost(fitted.runs)
        a, b = fitted.law.exponents(cost.p)
        print(f"\n  params ∝ flops^{a:.4f}, tokens ∝ flops^{b:.4f} under {cost}")
    print()


def show_objective(fitted: fitting.Fit) -> None:
    objective = fitted.objective
    delta = f" delta {objective.delta:g}," if objective.delta else ""
    print(
        f"  objective   {objective.name},{delta} sum = {objective.value:.9g}; "
        f"rms log residual {fitted.rmse:.3g}"
    )
    print(f"  starts      {fitted.starts_agreeing} of {fitted.starts} agree")


def show_parameters(fitted: fitting.Fit, profiles) -> None:
    """The parameters, those the runs do not determine marked as such."""
    loose: list[str] = []
    if fitted.status in ("unidentified", "failed"):
        logs = np.log([fitted.runs.column(name) for name in fitted.inputs])
        output = fitted.runs.column(fitted.output)
        loose = fitting.undetermined(fitted.law, logs, output, fitted.fixed)
        which = ", ".join(loose) or "see the status"
        print(f"  not determined by these runs (other values fit about as well): {which}")
    for name, value in fitted.parameters.items():
        low, high = ends_of(fitted, name, profiles)
        ends = f"  95 % {span(low, high, '{:.4g}'.format)}" if low is not None else ""
        ends = "  (fixed)" if name in fitted.fixed else ends
        print(f"  {name:<8}{value:>14.6g}{ends}" + "  not determined" * (name in loose))


def describe_intervals(fitted: fitting.Fit) -> str:
    """Where a fit's 95 % intervals are from."""
    if fitted.intervals == "none":
        return "none asked for; --intervals auto gives them"
    if fitted.intervals == "profile":
        return "95 %, profile likelihood"
    lost = int(np.isnan(fitted.draws).any(1).sum())
    left_out = f", {lost} of them without a fit and left out" if lost else ""
    return f"95 %, {fitted.intervals} bootstrap, {len(fitted.draws)} resamples{left_out}"
