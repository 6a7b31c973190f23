"""`python -m analysis fit TABLE --law NAME`: a law's parameters."""

import numpy as np

from analysis import fitting, frontiers
from analysis.commands import shared
from analysis.figures import plot_fit
from analysis.laws import LAWS, Chinchilla
from analysis.laws.find import find_law


def add(commands) -> None:
    sub = shared.command(commands, "fit", run, "fit a law's parameters")
    sub.add_argument(
        "--law", default="chinchilla", metavar="LAW", help=f"{', '.join(LAWS)}; or FILE.py:CLASS"
    )
    for name in shared.OTHERS:
        sub.add_argument(f"--{name}", metavar="COL", help=f"the column that holds a law's {name}")
    sub.add_argument(
        "--fix",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="hold a parameter: E=0 for a power law without floor",
    )
    shared.add_fit_options(sub, intervals="none")
    shared.add_figure(sub)


def run(options) -> int:
    law, fixed = find_law(options.law), {}
    for text in options.fix:
        name, _, value = text.partition("=")
        try:
            fixed[name.strip()] = float(value)
        except ValueError:
            raise ValueError(f"--fix {text!r}: write NAME=VALUE, such as E=0") from None
    if "x" in law.inputs and not (options.x and options.y):
        raise ValueError(f"--law {options.law} has one variable: name it with --x COL --y COL")
    inputs = tuple(shared.played_by(options, name) for name in law.inputs)
    output = shared.played_by(options, law.output)

    def answer(group, runs):
        fitted = fitting.fit(
            law,
            runs,
            objective=options.objective,
            delta=options.delta,
            inputs=inputs,
            output=runs.converted(law.output, output),
            fixed=fixed,
        )
        fitted = shared.with_intervals(options, fitted)
        show(group, runs, fitted)
        return as_json(fitted), lambda: plot_fit(fitted)

    return shared.each_group(options, answer)


def as_json(found: fitting.Fit) -> dict:
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
        "intervals": found.intervals,
        "cautions": found.runs.cautions,
    }


def show(group, runs, found: fitting.Fit) -> None:
    shared.print_head(group, runs, f"{type(found.law).__name__} fit")
    objective = found.objective
    delta = f" delta {objective.delta:g}," if objective.delta else ""
    print(
        f"  objective   {objective.name},{delta} sum = {objective.value:.9g}; "
        f"rms log residual {found.rmse:.3g}"
    )
    print(f"  starts      {found.starts_agreeing} of {found.starts} agree")
    print(f"  status      {found.status}: {found.message}")
    print(f"  intervals   {described(found)}")
    named = [f"{a} = {b}" for a, b in zip(found.law.inputs, found.inputs, strict=True) if a != b]
    if named:
        print(f"  columns     {', '.join(named)}; {found.law.output} = {found.output}")
    print()
    show_parameters(found)
    if isinstance(found.law, Chinchilla) and found.status in ("ok", "few", "edge"):
        cost = frontiers.fit_cost(found.runs)
        a, b = found.law.exponents(cost.p)
        print(f"\n  params ∝ flops^{a:.4f}, tokens ∝ flops^{b:.4f} under {cost}")
    print()


def show_parameters(found: fitting.Fit) -> None:
    """The parameters, those the runs do not determine marked as such."""
    loose: list[str] = []
    if found.status in ("unidentified", "failed"):
        logs = np.log([found.runs.column(name) for name in found.inputs])
        output = found.runs.column(found.output)
        loose = fitting.undetermined(found.law, logs, output, found.fixed)
        which = ", ".join(loose) or "see the status"
        print(f"  not determined by these runs (other values fit about as well): {which}")
    for name, value in found.parameters.items():
        low, high = found.interval(name)
        ends = f"  95 % ({low:.6g}, {high:.6g})" if low is not None else ""
        ends = "  (fixed)" if name in found.fixed else ends
        print(f"  {name:<8}{value:>14.6g}{ends}" + "  not determined" * (name in loose))


def described(found: fitting.Fit) -> str:
    """Where a fit's 95 % intervals are from."""
    if found.intervals == "none":
        return "none asked for; --intervals auto gives them"
    if found.intervals == "profile":
        return "95 %, profile likelihood"
    lost = int(np.isnan(found.draws).any(1).sum())
    left_out = f", {lost} of them without a fit and left out" if lost else ""
    return f"95 %, {found.intervals} bootstrap, {len(found.draws)} resamples{left_out}"
