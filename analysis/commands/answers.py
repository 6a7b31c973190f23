"""What every command on a table says first: the answer, how sure, what would make it surer; and last the
command to type next."""

import re
import shlex
import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress

import numpy as np

from analysis import fitting, frontiers, headline
from analysis.audit import Audit, audit_runs, design
from analysis.audit.findings import verdict_of
from analysis.commands import shared
from analysis.commands.arguments import ROLES
from analysis.commands.shared import WIDTH, light
from analysis.frontiers import Frontier
from analysis.headline import Headline
from analysis.laws import Chinchilla
from analysis.laws.find import find_law
from analysis.tables import Runs

CARRIED = (*ROLES, "where", "best_of", "by", "arm", "baseline")  # options that say what is read
OF_LAWS = {"fit", "predict", "audit", "frontier", "decide", "report"}  # commands that take --law


def of_table(options, runs: Runs, fitted: fitting.Fit | None, at=()) -> Headline | None:
    """The headline of a table as `frontier` gives it: by its valleys and, with intervals that cover best, its
    law; None where there are neither, or losses had to be lifted above zero. Tables whose profiles take long
    keep the intervals they have, and are not audited. `at`: budgets that the audit is asked about."""
    if fitted is not None and (fitted.offset or not {"params", "tokens"} <= set(type(fitted.law).inputs)):
        return None
    fronts: list[Frontier] = []
    iso = None
    own_law = fitted if fitted is not None and isinstance(fitted.law, Chinchilla) else None
    with suppress(ValueError):
        cost = frontiers.fit_cost(runs, getattr(options, "cost", "table"))
        own = {name: getattr(options, name) for name in ("window", "budgets", "seed") if name in options}
        with suppress(ValueError):
            iso = frontiers.find_optima(runs, **own)
            try:
                fronts.append(frontiers.choose_valleys(runs, cost, own_law, known=iso, **own).frontier)
            except ValueError:  # no way has an exponent, which the first of them says, too
                fronts.append(frontiers.from_isoflop(iso, cost, own_law))
        if fitted is not None:
            asked = options.intervals != "none" and options.bootstrap != 0
            if fitted.intervals == "none" and asked and light(fitted) and (fitted.regular or fitted.forms):
                fitted = fitting.intervals(fitted, "auto", seed=options.seed)
            budgets = frontiers.budgets_of(fitted.runs)
            fronts.append(frontiers.from_fit(fitted, cost, np.array([budgets.min(), budgets.max()])))
    return choose(options, runs, fronts, fitted, iso=iso, at=at)


def choose(options, runs: Runs, fronts: Sequence[Frontier], fitted: fitting.Fit | None, **known):
    """The headline of a table's frontiers, with the audit of its fitted law unless intervals are none or rows
    so many that it takes long; None where no frontier has an exponent. `known` as in `audit_runs`."""
    audit = None
    if fitted is not None and fitted.intervals != "none" and light(fitted):
        first = {front.kind: front for front in reversed(fronts)}
        known |= {"valley": first.get("valleys"), "law": first.get("the law")}
        with suppress(ValueError):  # nothing to look over
            audit = make_audit(options, runs, fitted, **known)
    return headline.choose(fronts, audit)


def make_audit(options, runs: Runs, fitted: fitting.Fit | None, **known) -> Audit:
    """The audit of a table under a command's options; `known` as in `audit_runs`."""
    names = ("objective", "delta", "budgets", "window", "cost", "hold_out", "seed")
    given = shared.pick(options, *(name for name in names if getattr(options, name, None) is not None))
    return audit_runs(runs, **given, fitted=fitted, **known)


def fit_with_intervals(options, runs: Runs) -> fitting.Fit | None:
    """The fit with its intervals, those that other commands give it too; None where there are too few runs or
    a design that is refused, as the audit then says."""
    if not shared.asks_intervals(options) and verdict_of(design.check(runs, "6nd")) == "refuse":
        return None
    fitted = shared.fit_if_possible(options, runs)
    return shared.with_intervals(options, fitted) if fitted and fitted.regular else fitted


def say(group, lines: Iterable[str]) -> None:
    """The answer, wrapped, with the group it is of; FLOPs as they are typed, 1e18."""
    for line in lines:
        line = re.sub(r"(?<=\de)\+0?(?=\d)", "", line)
        text = f"[{group}] {line}" if group is not None else line
        print(
            textwrap.fill(text, WIDTH, subsequent_indent="  ", break_on_hyphens=False, break_long_words=False)
        )


def unsaid(best: Headline | None, text: str) -> str:
    """A text that comes below the headline, without the reason that its refusal has given."""
    why = best.front.message if best else ""
    return text.replace(why, "as said above") if why and why in best.refusal else text


def head(
    group, best: Headline | None, flops: float | None = None, without: str = "", names: bool = True
) -> None:
    """The headline of a table, and an empty line; `without` is said where there is none."""
    lines = best.lines(flops, names) if best else [without] * bool(without)
    if lines:
        say(group, lines)
        print()


def rows_read(runs: Runs) -> str:
    """Which rows and which loss the answer is from, and why others are left out, as a sentence."""
    reasons = Counter(reason for _, reason in runs.dropped())
    kept = f"{len(runs.usable())} of {len(runs.rows)}" if reasons else f"all {len(runs.rows)}"
    why = [f"{times} {textwrap.shorten(reason, 60)}" for reason, times in reasons.most_common(3)]
    why += [f"{sum(reasons.values())} in all"] * (len(reasons) > 3)
    left = f" (left out: {', '.join(why)})" * bool(why)
    return f"From {kept} runs{left}; the loss is column {runs.roles['loss']}."


def after(best: Headline | None, *words: str) -> tuple[str, ...]:
    """The words of the command to type next; why not, where there is no answer to go on with."""
    return words if best and best.trusted else ("audit",)


def suggest(options, name: str, *words: str, drop: Sequence[str] = ()) -> None:
    """The command to type next, on the same table read the same way; said when all else is (`each_group`)."""
    options.next = command(options, name, *words, drop=drop)


def suggest_audit(options, fitted: fitting.Fit) -> None:
    """The audit as what comes next, of laws of params and tokens, which are all that it looks over; it takes
    no --batch_tokens to find the tokens by."""
    inputs, batch = set(fitted.law.inputs), getattr(options, "batch_tokens", None)
    if not fitted.offset and {"params", "tokens"} <= inputs and (not batch or "batch_tokens" in inputs):
        suggest(options, "audit")


def command(options, name: str, *words: str, drop: Sequence[str] = ()) -> str:
    given = [str(path) for path in np.atleast_1d(options.table)]
    for option in CARRIED:
        value = getattr(options, option, None)
        if value and isinstance(value, str) and option not in drop:
            given += ["--" + option.replace("_", "-"), value]
    law = getattr(options, "law", "chinchilla")
    if name in OF_LAWS and law != "chinchilla" and set(find_law(law).inputs) <= set(ROLES):
        given += ["--law", law]
    return f"python -m analysis {name} {shlex.join([*given, *words])}"
