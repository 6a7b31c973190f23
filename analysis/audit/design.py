"""What a table of runs itself says against fitting it: design, conventions, kinds, rows."""

import re

import numpy as np

from analysis.audit.findings import Finding, counted, grade, listed, make_finding, sentence
from analysis.fitting.solve import Problem
from analysis.fitting.status import degeneracy
from analysis.frontiers import fit_cost
from analysis.laws import Chinchilla
from analysis.tables import cautions, headers
from analysis.tables.identity import lost_runs
from analysis.tables.kinds import clusters
from analysis.tables.runs import Runs
from analysis.tables.sheets import ranged
from analysis.tables.units import UNSTATED

LOGARITHM = re.compile(  # in the header of a loss; log_loss is none
    r"[(\[]\s*(log|ln)|(?<![a-z0-9])(log10|log2|ln)(?![a-z0-9])"
)
PASSES = ("epochs", "n_epochs", "num_epochs", "num_train_epochs")
MOST = {"params": 1e14, "tokens": 1e17}  # that any table can hold
SAME = 0.03  # ln distance within which two scales are one level
UNRELATED = 4  # factor that flops span over the cost fitted to them where they are none of N and D
# flops / (6 N D) of other ways to count: macs, forward only, activations computed again
COUNTINGS = {
    1 / 2: "multiply-adds counted once",
    1 / 3: "the forward pass alone",
    1 / 6: "multiply-adds of the forward pass alone",
    4 / 3: "activations computed again",
}


def check(runs: Runs, cost: str = "table") -> list[Finding]:
    """Every finding that needs no fit. `runs` holds params, tokens, flops and loss; `cost` is what its
    frontiers take for it (table or 6nd)."""
    used = runs.usable()
    if not len(used):
        raise ValueError(f"{runs.source}: every run is flagged; {runs.dropped()[0][1]}")
    further = (units, mixed, repeated, mid_curve)
    return [
        one_ray(used),
        *few_levels(used),
        unfinished(runs),
        conventions(used, cost),
        *(look(used) for look in further),
    ]


def one_ray(used: Runs) -> Finding:
    """one-ray: whether the design can tell params from tokens at all, whatever the losses are."""
    logs = np.log([used.params, used.tokens])
    logs -= logs.mean(1)[:, None]
    params, tokens, ratio = (float(np.exp(np.ptp(x))) for x in (*logs, logs[1] - logs[0]))
    numbers = {"params_span": params, "tokens_span": tokens, "ratio_span": ratio}
    problem = Problem(Chinchilla, logs, used.loss, "huber-log", 1e-3, np.arange(5))
    reason = degeneracy(Chinchilla, problem)
    if not reason:
        text = f"params span a factor {params:.3g}, tokens {tokens:.3g}, and tokens per parameter {ratio:.3g}"
        return Finding("one-ray", "ok", text, numbers)
    if np.ptp(np.log(used.flops)) < 0.1 and np.ptp(logs[0]) > 0.1:
        reason = (
            f"all runs are of one budget, {used.flops.mean():.3g} FLOPs, so nothing says how "
            "the optimum grows with compute; add runs at other budgets"
        )
    elif min(params, tokens) < 1 + 1e-9:
        reason += "; add runs that vary it"
    return Finding("one-ray", "refuse", f"{sentence(reason)}.", numbers)


def few_levels(used: Runs) -> list[Finding]:
    """few-levels: a term and its exponent take two levels, the floor a third; a fourth checks."""
    numbers = {name: int(clusters(getattr(used, name), SAME).max() + 1) for name in ("params", "tokens")}
    numbers["runs"] = len(used)
    numbers["cells"] = cells = len(set(zip(used.params.tolist(), used.tokens.tolist(), strict=True)))
    axis = min(("params", "tokens"), key=numbers.get)
    least = numbers[axis]
    text = f"{len(used)} run{'s' * (len(used) != 1)} at {numbers['params']} level"
    text += f"{'s' * (numbers['params'] != 1)} of params and {numbers['tokens']} of tokens"
    if cells < 6:
        text += (
            f", {cells} different pairs of them: the law has 5 coefficients and needs at least 6; train more."
        )
        return [Finding("few-levels", "refuse", text, numbers)]
    if least < 2:
        return []  # one-ray says it
    if least >= 4 and cells >= 10:
        return [Finding("few-levels", "ok", text, numbers)]
    text += (
        f". With only {least} levels of {axis} for a coefficient, an exponent and the floor nothing is left "
        "over to show that the law's form holds; add sizes or lengths until there are 4 levels or more."
        if least < 4
        else f". {cells} pairs of them for the law's 5 coefficients leave too little over to show that its "
        "form holds; add pairs until there are 10 or more."
    )
    return [Finding("few-levels", "warn", text, numbers)]


def unfinished(runs: Runs) -> Finding:
    """unfinished: rows that give no loss. They are seldom a random part of the table."""
    dropped = lost_runs(runs)
    used = runs.usable()
    numbers = {"rows": len(dropped), "of": len(runs), "worse_than_guessing": 0}
    parts = []
    if "vocab_size" in used.columns and used.columns["vocab_size"].dtype != object:
        guess = used.loss > np.log(used.columns["vocab_size"])
        numbers["worse_than_guessing"] = int(guess.sum())
        if guess.any():
            parts.append(
                f"{counted(guess.sum())} a loss above ln(vocab_size), worse than guessing "
                f"(row {listed(used.rows[guess])})"
            )
    if not dropped and not parts:
        return Finding("unfinished", "ok", "every run has a final loss", numbers)
    share = len(dropped) / (len(dropped) + len(used))
    if dropped:
        why = ", ".join(dict.fromkeys(reason for _, reason in dropped))
        parts.insert(0, f"{counted(len(dropped), 'is', 'are')} left out ({why})")
    flops = {int(row): value for row, value in zip(runs.rows, runs.flops, strict=True)}
    top = any(flops[row] > 1.05 * used.flops.max() for row, _ in dropped)
    if top:
        parts.append("among them the largest compute of all, so the table ends earlier than it was meant to")
    severity = "warn" if share > 0.1 or top or numbers["worse_than_guessing"] else "note"
    text = (
        f"{sentence(', and '.join(parts))}. Runs that fail are seldom a random sample: look "
        "whether they share a size or a rate, and train them again."
    )
    return Finding("unfinished", severity, text, numbers)


def units(used: Runs) -> Finding:
    """units: values no table of (params, tokens, nats per token) holds."""
    doubts, name = [], used.roles.get("loss", "loss")
    words = set(name.lower().replace("-", "_").replace(" ", "_").split("_"))
    if {"bpb", "bits", "bpc"} & words and used.loss_unit == UNSTATED:
        doubts.append(
            f"loss is column {name}, in bits: the exponents stand, while E, A and B are in bits as well"
        )
    perplexity = {"ppl", "perplexity"} & words
    worked_out = name.startswith("loss (ln of column ") or " to the power of column " in name
    if perplexity and used.loss_unit.startswith("nats"):  # log_ppl
        perplexity, worked_out = set(), True
    if perplexity or (used.loss.max() > 25 and "error" not in used.loss_unit):
        doubts.append(
            f"losses reach {used.loss.max():.3g} (column {name}): perplexities? Take their logarithm"
        )
    if LOGARITHM.search(name.lower()) and not worked_out:
        doubts.append(f"loss is column {name}: its logarithm? Then take e or 10 to it, and the law of that")
    for role, least in (("params", 1e3), ("tokens", 1e5)):
        top = getattr(used, role).max()
        if top < least and not cautions.flops_agree(used.columns, used.roles):
            why = ": in millions or billions? Write counts"
            if used.roles[role].startswith(f"{role} (flops/"):
                why = f", {cautions.computed(used.roles, role)}"
            doubts.append(f"the largest {role} is {top:.3g}{why}")
    numbers = {"largest_loss": float(used.loss.max())}
    absurd = [(role, float(getattr(used, role).max())) for role in MOST]
    if above := [f"the largest {role} is {top:.3g}" for role, top in absurd if top > MOST[role]]:
        read = "; ".join(used.roles[role] for role, top in absurd if top > MOST[role])
        text = (
            f"{' and '.join(above)}, which nobody trained: a unit taken twice, by header and cells ({read})?"
        )
        return Finding("units", "refuse", sentence(text), numbers)
    if doubts:
        return Finding("units", "warn", f"{sentence('; '.join(doubts))}.", numbers)
    text = "params and tokens are plain counts, losses of a size that nats per token have"
    return Finding("units", "ok", text, numbers)


def conventions(used: Runs, cost: str) -> Finding:
    """conventions: flops over 6·params·tokens, which tells countings apart."""
    ratio = used.flops / (6 * used.params * used.tokens)
    low, middle, high = (float(v) for v in np.percentile(ratio, [0, 50, 100]))
    numbers = {"lowest": low, "median": middle, "highest": high}
    if any("6·params" in used.roles.get(role, "") for role in ("params", "tokens", "flops")):
        return Finding("conventions", "ok", "flops are taken as 6·params·tokens", numbers)
    known = next((word for at, word in COUNTINGS.items() if abs(middle / at - 1) < 0.02), "")
    severity = "note"
    advice = (
        ": attention, embeddings or the head are counted on one side only, "
        "which matters most for small models. Compare --cost table with --cost 6nd."
    )
    if low < 0.1 or high > 10:
        few, most = np.percentile(used.flops / fit_cost(used).flops(used.params, used.tokens), [10, 90])
        severity = "refuse" if cost == "table" and most / few > UNRELATED else "warn"
        advice = (
            ": no counting of flops differs that much from 6·N·D. A unit, or "
            "another run's number, has slipped in; look at the rows at both ends, or count by --cost 6nd."
        )
    elif high / low < 1.1 and abs(middle - 1) < 0.1:
        severity = "ok"
    elif high / low < 1.1:
        advice = (
            f"{f', as {known} would give' if known else ''}. A constant factor leaves exponents alone and "
            "moves every budget by that factor: state it with the numbers."
        )
    statement = f"flops/(6·params·tokens) lies {ranged(low, high)}"
    return make_finding("conventions", severity, statement, advice, numbers)


def mixed(used: Runs) -> Finding:
    """mixed: columns in which a table should not vary, as its losses then mean different things;
    and rows beside the grid."""
    columns, roles = used.columns, used.roles
    kinds = cautions.varied((*headers.TEXT, *headers.CONTEXT), columns, roles)
    recipe = cautions.varied(headers.RECIPE, columns, roles)
    outside, of_outside = cautions.without_budget(columns, roles)
    several = cautions.rivals(columns, roles)
    numbers = {name: len(values) for name, values in (kinds | recipe).items()}
    numbers |= {"without_budget": int(outside.sum())} if of_outside else {}
    numbers |= {f"cells_of_several_{name}": cells for name, cells in several.items()}
    lines = [sentence(f"{line}.") for line in cautions.mixtures(columns, roles)]
    if not lines:
        return Finding("mixed", "ok", "no column says that runs differ in text, tokens or recipe", numbers)
    severity = "warn" if len(lines) > bool(recipe) or kinds else "note"
    size = f"{outside.sum()} of {len(used)} without a budget" if of_outside and len(lines) == 1 else ""
    return Finding("mixed", severity, " ".join(lines), numbers, size)


def repeated(used: Runs) -> Finding:
    """repeated: tokens seen more than once, which Chinchilla's law takes as new."""
    name, counted_in = headers.find(used.columns, PASSES), used.roles.get("tokens", "tokens")
    if name and used.columns[name].dtype != object:
        epochs = used.columns[name]
    elif used.has("unique_tokens") and used.column("unique_tokens").dtype != object:
        epochs = used.tokens / used.column("unique_tokens")
    else:
        return Finding("repeated", "ok", "no column says that tokens were repeated", {})
    again = np.nan_to_num(epochs) > 1.005
    numbers = {"rows": int(again.sum()), "of": len(used), "most_epochs": float(np.nanmax(epochs))}
    if not again.any():
        return Finding("repeated", "ok", "no run saw a token twice", numbers)
    most = numbers["most_epochs"]
    if name and re.search(r"(data|set)_size", headers.normalize(counted_in)):
        text = (
            f"Tokens are taken from {counted_in}, which {name} says is gone over {most:.2g} times: tokens "
            "seen and FLOPs are then as many times more. Write the tokens that were seen (--tokens COL)."
        )
        return Finding("repeated", "warn", text, numbers)
    text = (
        f"{counted(again.sum(), 'sees', 'see')} tokens again, up to {most:.2g} epochs; the law "
        "takes each as new. Up to about 4 epochs that costs little (Muennighoff et al. 2023); "
        'beyond, keep such runs out (--where "epochs <= 4") or fit --law '
        "data-constrained."
    )
    return Finding("repeated", grade(most, 1.005, 4.5), text, numbers)


def mid_curve(used: Runs) -> Finding:
    """mid-curve: several rows of one run at different tokens are one curve, not several runs."""
    name = headers.find(used.columns, headers.RUN_IDS)
    if name == "run" and all(str(value).isdecimal() for value in used.columns[name]):
        name = None  # 0, 1, 2, ... is as likely the number of a repeat
    if name is None:
        named = headers.find(used.columns, ("name", "display_name"))
        why = f"{named} may name models or runs" if named else "no column names the run"
        return Finding("mid-curve", "ok", f"{why}, so each row is taken as one", {})
    keys = [str(value) for value in used.columns[name].tolist()]
    seen: dict[tuple, set] = {}
    for key, params, tokens in zip(keys, used.params, used.tokens, strict=True):
        if key and key != "nan":
            seen.setdefault((key, params), set()).add(tokens)
    several = {key: values for key, values in seen.items() if len(values) > 1}
    rows = sum(len(values) for values in several.values())
    numbers = {"curves": len(several), "rows": rows, "of": len(used)}
    if not several:
        return Finding("mid-curve", "ok", f"every {name} stands in one row", numbers)
    text = (
        f"{rows} rows are points of {len(several)} training curves ({name}): they share their "
        "noise, so intervals by rows are too narrow; resample whole curves (--cluster "
        f"{name}). Under a schedule that decays to the end, a point in mid-curve is not what a "
        "run of that many tokens reaches: keep the last row of each run alone."
    )
    return Finding("mid-curve", "warn", text, numbers)
