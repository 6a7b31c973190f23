"""`python -m analysis predict TABLE --at "params=7e9,tokens=2e12"`: what a fitted law says of new runs."""

from dataclasses import fields
from itertools import islice

import numpy as np

from analysis import decisions, fitting
from analysis.commands import answers, shared
from analysis.commands.arguments import add_options, command, positive
from analysis.commands.fit import add_law, describe_intervals, fitter, forms_json, show_forms, used
from analysis.commands.points import Points, add_at, from_table, from_text
from analysis.figures import plot_places
from analysis.fitting import Prediction
from analysis.fitting.band import determined, span
from analysis.headline import Headline
from analysis.laws import DownstreamError, Law
from analysis.laws.find import find_law
from analysis.tables import table
from analysis.tables.units import UNSTATED

ENDS = ("low", "high", "run_low", "run_high")
SHOWN, SAID = 40, 3  # places in the table, the JSON file holds all; and in a sentence


def add(commands) -> None:
    sub = command(commands, "predict", run)
    add_law(sub, "auto")
    add_at(sub)
    sub.add_argument(
        "--at-table", metavar="POINTS", help="a table of places; what was measured there is compared"
    )
    sub.add_argument(
        "--within",
        type=positive,
        metavar="PERCENT",
        help="the error asked for: refuse where forms of the law, held-out runs or a bend say more",
    )
    sub.add_argument(
        "--downstream",
        metavar="TABLE",
        help="a table of loss and error: predicted losses go on to errors by the law downstream",
    )
    add_options(sub, "--figure")


def run(options) -> int:
    law = find_law(options.law)
    if bool(options.at) == bool(options.at_table):
        raise ValueError("name the places by --at, or by --at-table: one of the two")
    fit_rows = fitter(options)
    played = {name: shared.played_by(options, name) for name in law.inputs}
    points = from_table(options, law, played) if options.at_table else from_text(law, options.at, played)
    errors = downstream(options, law) if options.downstream else None
    predictions, all_measured = [], []

    def answer(group, runs):
        fitted, places = fit_rows(runs), of_group(options, points, group)
        one_unit(fitted, places.unit or UNSTATED, "--at-table")
        check_doubts(options, fitted, places)
        if errors:
            one_unit(fitted, errors.runs.loss_unit, "--downstream")
        prediction = fitting.predict(fitted, **places.inputs)
        then = fitting.chain(prediction, errors) if errors else None
        best = answers.of_table(options, runs, fitted)
        answers.say(group, [*in_words(fitted, places, prediction), *against(best)])
        print()
        show(group, runs, fitted, places, prediction, errors, then)
        predictions.append(prediction)
        all_measured.append(places.measured)
        answers.suggest_audit(options, fitted)
        plot = lambda: plot_places(fitted, places.inputs, prediction, places.measured)  # noqa: E731
        found = {"verdict": best.audit.verdict if best and best.audit else None, "against": against(best)}
        return as_json(fitted, places, prediction, errors, then) | found, plot

    refused = shared.each_group(options, answer)
    if len(predictions) > 1 and (score := fitting.score(joined(predictions), np.concatenate(all_measured))):
        print(f"all of --by {options.by}: {describe_score(score)}")
    return refused


def in_words(fitted: fitting.Fit, points: Points, prediction: Prediction) -> list[str]:
    """What is predicted, a sentence a place for the first of them."""
    factor, name = far(fitted, points)
    first = "" if fitted.status == "ok" else f"NOT TO BE RELIED ON ({fitted.status}). "
    lines = []
    for k in range(min(SAID, len(prediction.value))):
        at = ", ".join(f"{what} {column[k]:.4g}" for what, column in points.inputs.items())
        value, *ends = (getattr(prediction, each)[k] for each in ("value", *ENDS))
        mean, one = (span(*pair, "{:.5g}".format, " to ") for pair in (ends[:2], ends[2:]))
        known = f", 95 % {mean} by the law and {one} for one run" * bool(mean and one)
        beyond = f"; {factor[k]:.3g} times beyond the runs in {name[k]}" * bool(factor[k] > 1)
        said = f"{fitted.law.output} {determined(value, '{:.5g}'.format)}{known}{beyond}"
        lines.append(f"{first}{type(fitted.law).__name__} at {at}: {said}.")
    return lines


def against(best: Headline | None) -> list[str]:
    """What the audit of the table says against every forecast from it."""
    if not best or not best.audit:
        return []
    refused = best.against("refuse")
    return [f"NOT TO BE RELIED ON: the audit refuses it ({refused})."] * bool(refused) + best.audit.against()


def check_doubts(options, fitted: fitting.Fit, places: Points) -> None:
    """Refuse where the table cannot tell the place of most compute within the error asked for."""
    if not options.within:
        return
    if not {"params", "tokens"} <= set(places.inputs):
        raise ValueError(f"--within asks about params and tokens, and --law {options.law} takes in others")
    params, tokens = places.inputs["params"], places.inputs["tokens"]
    most = int(np.argmax(params * tokens))
    if why := decisions.doubts(fitted, params[most], tokens[most], options.within / 100):
        at = f"{params[most]:.3g} params on {tokens[most]:.3g} tokens"
        raise ValueError(f"{fitted.runs.source}: refused at {at}: {'; '.join(why)}")


def joined(predictions: list[Prediction]) -> Prediction:
    parts = ([getattr(each, field.name) for each in predictions] for field in fields(Prediction))
    return Prediction(*map(np.concatenate, parts))


def describe_score(score: dict) -> str:
    return f"{score['compared']}: MAPE {score['mape']:.3g} %, R² {score['r2']:.4g}"


def downstream(options, law: type[Law]) -> fitting.Fit:
    """Errors by losses, fitted to the table of --downstream, with the intervals asked for."""
    if law.output not in ("loss", "y"):
        raise ValueError(f"--downstream goes on from a loss, and --law {options.law} gives {law.output}")
    error = options.error or "error"
    runs = table.read(options.downstream, needs={"loss", "error"}, loss=options.loss, error=error)
    fitted = fitting.fit(DownstreamError, runs, output=runs.converted("error", error))
    return fitting.intervals(fitted, options.intervals or "auto", options.bootstrap or 1000, options.seed)


def of_group(options, points: Points, group: str | None) -> Points:
    """The places of a group, where their table has the column of --by; else all."""
    if group is None or points.table is None or not points.table.has(options.by):
        return points
    mine = points.table.labels(options.by) == group
    if not mine.any():
        raise ValueError(f"{options.at_table}: no row has {options.by} = {group}")
    return points.select(mine)


def one_unit(fitted: fitting.Fit, unit: str, option: str) -> None:
    """Refuse to bring together what is measured in two units."""
    mine, other = (each.partition(",")[0] for each in (fitted.runs.loss_unit, unit))
    if mine != other and UNSTATED not in (mine, other):
        raise ValueError(f"the law is fitted in {mine} and {option} holds {other}: bring both to one unit")


def far(fitted: fitting.Fit, points: Points) -> tuple[np.ndarray, np.ndarray]:
    """By what factor (K,) a place lies outside the runs, 1 inside, and in which input (K,)."""
    names = list(points.inputs)
    columns = [fitted.runs.column(name) for name in fitted.inputs]
    factors = [
        np.maximum(points.inputs[name] / column.max(), column.min() / points.inputs[name])
        for name, column in zip(names, columns, strict=True)
    ]
    return np.maximum(np.max(factors, 0), 1.0), np.array(names, object)[np.argmax(factors, 0)]


def as_json(fitted: fitting.Fit, points: Points, prediction: Prediction, errors, then) -> dict:
    factor, _ = far(fitted, points)
    rows = []
    for k, row in enumerate(points.rows):
        place = {name: column[k] for name, column in points.inputs.items()}
        each = {"row": row, **place, "predicted": prediction.value[k]}
        each |= {end: getattr(prediction, end)[k] for end in ENDS}
        each |= {"measured": points.measured[k], "times_range": factor[k]}
        if then:
            each["error"] = {"predicted": then.value[k], **{end: getattr(then, end)[k] for end in ENDS}}
        rows.append(each)
    chained = {"downstream": shared.pick(errors, "status", "message")} if errors else {}
    return {
        "law": type(fitted.law).__name__,
        "output": fitted.output,
        "unit": fitted.runs.unit.strip(),
        "rows": rows,
        "mape": None,
        "r2": None,
        **fitting.score(prediction, points.measured),
        "runs": len(fitted.runs),
        **shared.pick(fitted, "intervals", "status", "message"),
        **chained,
        "cautions": fitted.cautions,
        **forms_json(fitted),
    }


def show(group, runs, fitted: fitting.Fit, points: Points, prediction: Prediction, errors, then) -> None:
    shared.print_head(group, used(runs, fitted), f"{type(fitted.law).__name__} prediction", fitted.cautions)
    guess = "" if fitted.status == "ok" else " WHAT FOLLOWS IS A GUESS"
    shared.paragraph("fit", f"{fitted.status}: {fitted.message}.{guess}")
    print(f"  intervals   {describe_intervals(fitted)}")
    show_forms(fitted)
    for note in points.notes:
        print(f"  places      {note}")
    heads = [*points.inputs, fitted.law.output, "law 95 %", "new run 95 %"]
    columns = [[f"{value:.4g}" for value in column] for column in points.inputs.values()]
    columns += cells_of(prediction)
    if np.isfinite(points.measured).any():
        heads.append("measured")
        columns.append([f"{value:.5g}" if np.isfinite(value) else "" for value in points.measured])
    if then:
        heads += ["error", "law 95 %", "new run 95 %"]
        columns += cells_of(then)
    factor, name = far(fitted, points)
    if (factor > 1).any():
        heads.append("beyond the runs")
        pairs = zip(factor, name, strict=True)
        columns.append([f"{times:.3g} × in {what}" if times > 1 else "" for times, what in pairs])
    wide = [max(map(len, [head, *column])) for head, column in zip(heads, columns, strict=True)]
    print()
    for line in (heads, *islice(zip(*columns, strict=True), SHOWN)):
        print("  " + "  ".join(cell.rjust(size) for cell, size in zip(line, wide, strict=True)).rstrip())
    if len(prediction.value) > SHOWN:
        print(f"  and {len(prediction.value) - SHOWN} more; --json FILE holds all")
    print("\n  law: confidence interval of the law; new run: prediction interval of one run, with its noise")
    if score := fitting.score(prediction, points.measured):
        inside = f"; {score['inside']} inside the prediction interval" if fitted.ends else ""
        print(f"  measured    {describe_score(score)}{inside}")
    if errors:
        seen = errors.runs.loss
        if ((prediction.value < seen.min()) | (prediction.value > seen.max())).any():
            ends = f"{seen.min():.4g} to {seen.max():.4g}"
            shared.paragraph("CAUTION", f"losses predicted lie outside those of {errors.runs.source}, {ends}")
        shared.paragraph(
            "error", f"by DownstreamError of {errors.runs.source}: {errors.status}: {errors.message}"
        )
    print()


def cells_of(prediction: Prediction) -> list[list[str]]:
    """Columns of text: the value, the law's interval, a new run's."""

    def ends(low, high) -> list[str]:
        pairs = zip(low, high, strict=True)
        return [span(a, b, "{:.5g}".format) for a, b in pairs]

    values = [determined(value, "{:.5g}".format) for value in prediction.value]
    return [values, ends(prediction.low, prediction.high), ends(prediction.run_low, prediction.run_high)]
