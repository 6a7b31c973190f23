"""`python -m analysis planner TABLE -o planner.html`: one offline page that answers what `decide` is asked.

It holds the fitted law with its draws, and works plans out as analysis/decisions/plans.py does.
"""

import base64
import hashlib
import json
import re
from html import escape
from pathlib import Path

import numpy as np

from analysis import frontiers
from analysis.audit import cautions
from analysis.commands import answers, shared, suggest_grid
from analysis.commands.arguments import ROLES, add_fit_options, add_options, command
from analysis.commands.decide import check_one_text
from analysis.decisions.answer import design_notes, draw_notes
from analysis.decisions.counted import law_with_draws
from analysis.fitting import Fit
from analysis.frontiers import Cost
from analysis.headline import Headline
from analysis.headline.headline import last_minimum
from analysis.tables import Runs

REACH, STEPS = (1e-4, 1e8), 361  # of the headline's ladder: times the largest run's compute
PAGE = Path(__file__).with_suffix(".html")


def add(commands) -> None:
    sub = command(commands, "planner", run, roles=[role for role in ROLES if role != "budget"])
    sub.add_argument(
        "-o", "--output", default="planner.html", metavar="FILE", help="the page (default planner.html)"
    )
    add_options(sub, "--cost")
    sub.add_argument("--anyway", action="store_true", help="plan on a fit that is not ok")
    add_fit_options(sub, "pairs")
    sub.set_defaults(bootstrap=1000)


def run(options) -> int:
    refusals = []

    def answer(group, runs):
        check_one_text(runs, options)
        fitted, cost = shared.fit(options, runs), frontiers.fit_cost(runs, options.cost)
        refused, content = "", {}
        if fitted.status != "ok" and not options.anyway:
            refused = f"Refused: the fit is {fitted.status}, not ok: {fitted.message}."
            refusals.append(refused)
        else:
            best = answers.of_table(options, runs, fitted)
            fitted = shared.with_intervals(options, fitted)
            content = data_of(fitted, cost)
            if best:  # as `decide` says it
                content |= {"sure": best.how_sure, "headline": ladder_of(best, content["largest"])}
                seen = best.front.flops if best.trusted else np.array([])
                content["seen"] = [float(seen.min()), float(seen.max())] if seen.size else None
        path = shared.named(options.output, group, options.groups)
        title = f"From {len(fitted.runs)} runs of {runs.source}" + (f", {group}" if group else "")
        html = page(content or {"refused": refused}, title)
        path.write_text(html, encoding="utf-8", errors="backslashreplace")
        answers.say(group, [refused or f"{path} answers offline what `decide` is asked of this table."])
        answers.suggest(options, "audit")
        return [], None

    return shared.each_group(options, answer) or int(bool(refusals))


def data_of(fitted: Fit, cost: Cost) -> dict:
    """What the page works from: the law and its draws as [E, A, B, alpha, beta], and what it warns by."""
    order = [fitted.law.names().index(name) for name in ("E", "A", "B", "alpha", "beta")]
    draws = np.zeros((0, 5)) if fitted.draws is None else fitted.draws[:, order]
    # others have no optimum
    draws = draws[np.isfinite(draws).all(1) & (draws[:, 3:].min(1, initial=np.inf) > 0)]
    ratio = fitted.runs.tokens / fitted.runs.params
    notes = design_notes(fitted, float(ratio.min()), (ratio.min(), ratio.max()))
    notes += draw_notes(fitted, law_with_draws(fitted))
    own = [f"the fit is {fitted.status}: {fitted.message}"] if fitted.status != "ok" else []
    return {
        "law": [fitted.parameters[name] for name in ("E", "A", "B", "alpha", "beta")],
        "draws": draws.tolist(),
        "cost": {"k": float(cost.k), "p": float(cost.p)},
        "largest": float(fitted.runs.flops.max()),
        "ratios": [float(ratio.min()), float(ratio.max())],
        "unit": fitted.runs.unit,
        "cautions": list(dict.fromkeys([*own, *notes, *fitted.cautions, *cautions(fitted)])),
        "grid": grid_of(fitted.runs),
    }


def ladder_of(best: Headline, largest: float) -> dict | None:
    """The headline's own models on a ladder of budgets, as `decide` answers a budget alone: [value, low,
    high] of each. None where the answer is the law's, or where there is none to trust."""
    if not best.trusted or best.front.kind == "the law":
        return None
    flops = np.geomspace(*(times * largest for times in REACH), STEPS)
    bands = best.front.at(flops)
    rows = {
        name: [[float(f"{end:.7g}") for end in ends] for ends in zip(*each, strict=True)]
        for name, each in zip(
            ("params", "tokens", "loss"), ((b.value, b.low, b.high) for b in bands), strict=True
        )
    }
    lacks = best.of_loss(float(flops[-1])) is not best.front  # the law tells the loss beyond so few budgets
    told = 1.001 * last_minimum(best.front) if lacks else None
    ends = {"low": float(flops[0]), "high": float(flops[-1]), "told": told}
    return {"method": best.front.method, **ends, **rows}


def grid_of(runs: Runs) -> dict:
    """What a grid of the table's kind takes: its text, batch and length, and (params, layers, width, heads)
    of each size there is; the parts that the table tells."""
    names = ("corpus", "tokenizer", "seq_len", "batch_tokens")
    known = {name: suggest_grid.one(runs, name) for name in names}
    found = {name: value for name, value in known.items() if isinstance(value, str) or (value and value > 0)}
    if unique := suggest_grid.unique_tokens(runs):
        found["unique_tokens"] = float(unique)
    if all(name in runs.columns and runs.columns[name].dtype != object for name in suggest_grid.SHAPE):
        columns = np.stack([runs.params, *(runs.columns[name] for name in suggest_grid.SHAPE)], 1)
        found["shapes"] = np.unique(columns[np.isfinite(columns).all(1)], axis=0).astype(int).tolist()
    return found


def page(data: dict, title: str) -> str:
    """The page as HTML text; its script and style are named by their hashes, so that no others can act."""
    html = PAGE.read_text(encoding="utf-8")
    text = json.dumps(shared.clean(data)).replace("<", "\\u003c")
    style = re.search(r"<style>(.*?)</style>", html, re.S)[1]
    parts = {"'STYLE'": sha256(style), "'SCRIPT'": sha256(script(html)), "TITLE": escape(title), "DATA": text}
    return re.sub("'STYLE'|'SCRIPT'|TITLE|DATA", lambda at: parts[at[0]], html)


def sha256(content: str) -> str:
    """A content's name in a policy."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def script(html: str) -> str:
    """The page's own script."""
    return re.findall(r"<script>(.*?)</script>", html, re.S)[-1]
