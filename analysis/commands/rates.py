"""`python -m analysis rates TABLE`: the best learning rate of every cell, and the rule for others."""

from dataclasses import replace

import numpy as np

from analysis.commands import answer as answers
from analysis.commands import points, shared
from analysis.commands.arguments import add_options, command
from analysis.figures.rates import plot_rates
from analysis.figures.words import human
from analysis.fitting.band import Band
from analysis.frontiers.rates import Rates, best_rates

SHOWN = 30  # cells printed; the JSON file holds all


def add(commands) -> None:
    sub = command(commands, "rates", run)
    sub.add_argument(
        "--setting", metavar="COL", default="learning_rate", help="the column tuned (learning_rate)"
    )
    points.add_at(sub)
    add_options(sub, "--figure")
    sub.set_defaults(needs={"params", "tokens", "loss"})


def run(options) -> int:
    def answer(group, runs):
        found = best_rates(runs, options.setting)
        said = [(place, found.rule.at(place)) for place in places(options.at, found)]
        show(group, runs, found, said)
        far = found.sweeps[-1].place
        place = ",".join(
            f"{name}={4 * value if name == 'params' else value:.3g}" for name, value in far.items()
        )
        answers.suggest(options, "rates", *["--at", place] * (found.rule is not None and not said))
        return as_json(found, said), lambda: plot_rates(found)

    return shared.each_group(options, answer)


def places(texts: list[str], found: Rates) -> list[dict[str, float]]:
    """The places of --at, each with all that the rule needs."""
    asked = points.split(texts)
    if not asked:
        return []
    if found.rule is None:
        raise ValueError(f"--at: there is no rule to carry on: {found.message}")
    known = {name: name for name in found.sweeps[0].place}
    read = [points.read(text, known) for text in asked]
    for text, place in zip(asked, read, strict=True):
        points.check_whole(text, place, found.rule.inputs, "the rule needs them")
    return read


def show(group, runs, found: Rates, said: list[tuple[dict, Band]]) -> None:
    for place, band in said:
        print(f"best {found.setting} {words(band)} at {where(place)}")
    if found.rule:
        print(formula(found))
    print(f"{found.status}: {found.message}")
    print(
        f"Half the best {found.setting} costs {100 * found.price(0.5):.2g} % of the loss, twice "
        f"{100 * found.price(2):.2g} %; losses scatter by {100 * found.valleys.noise:.2g} % about valleys.\n"
    )
    own = {found.setting, *found.sweeps[0].place}  # what is asked about is no caution
    rest = replace(
        runs,
        columns={name: c for name, c in runs.columns.items() if name not in own - {*runs.roles.values()}},
    )
    shared.print_head(group, rest, "best rates", rest.cautions)
    wide = max(len(where(each.place)) for each in found.sweeps)
    print(f"\n  {'':<{wide}}{'best':>11}  {'95 %':<20}tried")
    for each in found.sweeps[:SHOWN]:
        ends = f"({each.best.low:.2g}, {each.best.high:.2g})"
        tried = f"{len(each.rates)}, {each.rates[0]:.2g} to {each.rates[-1]:.2g}"
        note = "" if each.status == "ok" else f"  {each.status}: {each.message}"
        print(f"  {where(each.place):<{wide}}{each.best.value:>11.3g}  {ends:<20}{tried}{note}")
    if len(found.sweeps) > SHOWN:
        print(f"  and {len(found.sweeps) - SHOWN} more; --json holds all")
    print()


def formula(found: Rates) -> str:
    rule = found.rule
    factors = [
        f"{name}^{band.value:.3g} ({band.low:.2g}, {band.high:.2g})"
        for name, band in rule.exponents().items()
    ]
    return f"{found.setting} = {np.exp(rule.coefficients[0]):.4g} · " + " · ".join(factors)


def words(band: Band) -> str:
    return f"{band.value:.3g} ({band.low:.2g}, {band.high:.2g})"


def where(place: dict[str, float]) -> str:
    return ", ".join(f"{name} {human(value)}" for name, value in place.items())


def as_json(found: Rates, said: list[tuple[dict, Band]]) -> dict:
    rule = found.rule and {
        "constant": float(np.exp(found.rule.coefficients[0])),
        "exponents": {name: shared.band_json(band) for name, band in found.rule.exponents().items()},
    }
    return {
        **shared.pick(found, "setting", "status", "message"),
        **shared.pick(found.valleys, "curvature", "skew", "noise"),
        "rule": rule,
        "at": [{**place, **shared.band_json(band)} for place, band in said],
        "cells": [
            {
                **each.place,
                **shared.pick(each, "rates", "losses", "status", "message"),
                "best": shared.band_json(each.best),
            }
            for each in found.sweeps
        ],
    }
