"""`python -m analysis rates TABLE`: the best learning rate of every cell, and the rule for others."""

from dataclasses import replace

import numpy as np

from analysis.commands import answers, points, shared
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
        rates = best_rates(runs, options.setting)
        bands = [(place, rates.rule.at(place)) for place in places(options.at, rates)]
        show(group, runs, rates, bands)
        far = rates.sweeps[-1].place
        place = ",".join(
            f"{name}={4 * value if name == 'params' else value:.3g}" for name, value in far.items()
        )
        answers.suggest(options, "rates", *["--at", place] * (rates.rule is not None and not bands))
        return as_json(rates, bands), lambda: plot_rates(rates)

    return shared.each_group(options, answer)


def places(texts: list[str], rates: Rates) -> list[dict[str, float]]:
    """The places of --at, each with all that the rule needs."""
    asked = points.split(texts)
    if not asked:
        return []
    if rates.rule is None:
        raise ValueError(f"--at: there is no rule to carry on: {rates.message}")
    known = {name: name for name in rates.sweeps[0].place}
    read = [points.read(text, known) for text in asked]
    for text, place in zip(asked, read, strict=True):
        points.check_whole(text, place, rates.rule.inputs, "the rule needs them")
    return read


def show(group, runs, rates: Rates, bands: list[tuple[dict, Band]]) -> None:
    for place, band in bands:
        print(f"best {rates.setting} {words(band)} at {where(place)}")
    if rates.rule:
        print(formula(rates))
    print(f"{rates.status}: {rates.message}")
    print(
        f"Half the best {rates.setting} costs {100 * rates.price(0.5):.2g} % of the loss, twice "
        f"{100 * rates.price(2):.2g} %; losses scatter by {100 * rates.valleys.noise:.2g} % about valleys.\n"
    )
    own = {rates.setting, *rates.sweeps[0].place}  # what is asked about is no caution
    rest = replace(
        runs,
        columns={name: c for name, c in runs.columns.items() if name not in own - {*runs.roles.values()}},
    )
    shared.print_head(group, rest, "best rates", rest.cautions)
    wide = max(len(where(each.place)) for each in rates.sweeps)
    print(f"\n  {'':<{wide}}{'best':>11}  {'95 %':<20}tried")
    for each in rates.sweeps[:SHOWN]:
        ends = f"({each.best.low:.2g}, {each.best.high:.2g})"
        tried = f"{len(each.rates)}, {each.rates[0]:.2g} to {each.rates[-1]:.2g}"
        note = "" if each.status == "ok" else f"  {each.status}: {each.message}"
        print(f"  {where(each.place):<{wide}}{each.best.value:>11.3g}  {ends:<20}{tried}{note}")
    if len(rates.sweeps) > SHOWN:
        print(f"  and {len(rates.sweeps) - SHOWN} more; --json holds all")
    print()


def formula(rates: Rates) -> str:
    rule = rates.rule
    factors = [
        f"{name}^{band.value:.3g} ({band.low:.2g}, {band.high:.2g})"
        for name, band in rule.exponents().items()
    ]
    return f"{rates.setting} = {np.exp(rule.coefficients[0]):.4g} · " + " · ".join(factors)


def words(band: Band) -> str:
    return f"{band.value:.3g} ({band.low:.2g}, {band.high:.2g})"


def where(place: dict[str, float]) -> str:
    return ", ".join(f"{name} {human(value)}" for name, value in place.items())


def as_json(rates: Rates, bands: list[tuple[dict, Band]]) -> dict:
    rule = rates.rule and {
        "constant": float(np.exp(rates.rule.coefficients[0])),
        "exponents": {name: shared.band_json(band) for name, band in rates.rule.exponents().items()},
    }
    return {
        **shared.pick(rates, "setting", "status", "message"),
        "curvature": float(np.median(rates.valleys.curvature)),
        "noise": rates.valleys.noise,
        "rule": rule,
        "at": [{**place, **shared.band_json(band)} for place, band in bands],
        "cells": [
            {
                **each.place,
                **shared.pick(each, "rates", "losses", "status", "message"),
                "best": shared.band_json(each.best),
            }
            for each in rates.sweeps
        ],
    }
