"""How `decide` says its answer: the plan in a sentence, then every number with its interval, and the
alternatives."""

import textwrap

import numpy as np

from analysis import frontiers
from analysis.commands import shared
from analysis.decisions import Answer
from analysis.figures.words import human
from analysis.fitting import Band
from analysis.headline import Headline, power, short

COLUMNS = {  # of an answer: heading, format, whether the table of alternatives shows its interval
    "params": ("params", "{:.4g}", True),
    "tokens": ("tokens", "{:.4g}", False),
    "tokens_per_param": ("tokens/param", "{:.4g}", False),
    "epochs": ("epochs", "{:.3g}", False),
    "flops": ("training FLOPs", "{:.4g}", False),
    "total_flops": ("total FLOPs", "{:.4g}", False),
    "loss": ("loss", "{:.4f}", False),
    "run_loss": ("loss of one run", "{:.4f}", False),
    "extra_loss": ("extra loss", "{:.4f}", False),
    "wasted_compute": ("compute wasted", "{:.1%}", True),
    "device_hours": ("device-hours", "{:.4g}", False),
    "money": ("money", "{:.4g}", False),
}
HEADLINE = ("params", "tokens", "loss")


def names_the_same(best: Headline, answer: Answer) -> bool:
    """Whether the table's headline names the model that is planned, so that its intervals are the plan's."""
    size = best.front.at([answer.plan["flops"].value])[0].value[0]
    return best.trusted and bool(np.isclose(size, answer.plan["params"].value))


def in_words(answer: Answer, best: Headline | None) -> list[str]:
    """What to train, in a sentence; what the neighbours cost; what stands against it. Where the headline of
    the table names the same model its intervals are said, which are those of every other command."""
    plan, bad = answer.plan, answer.status != "ok"
    if best:
        bands = best.front.at([plan["flops"].value])
        same = {
            n: Band(*map(float, (b.value[0], b.low[0], b.high[0])))
            for n, b in zip(HEADLINE, bands, strict=True)
        }
        plan = plan | same
    size, seen, loss = (plan[name] for name in ("params", "tokens", "loss"))
    epochs = f", {plan['epochs'].value:.3g} times over" if "epochs" in plan else ""
    cost = f"{power(plan['flops'].value)} FLOPs"
    if "total_flops" in plan:
        cost += f" of training, {power(plan['total_flops'].value)} with serving"
    if "device_hours" in plan:
        cost += f", {plan['device_hours'].value:.3g} device-hours"
    if "money" in plan:
        cost += f", {plan['money'].value:.3g} of money"
    lines = [
        f"{'A GUESS, the fit is ' + answer.status + '. ' if bad else ''}Train {human(short(size.value))} "
        f"parameters{between(size)} on {human(short(seen.value))} tokens{between(seen)}{epochs} ({cost}): "
        f"loss {loss.value:.4f}{between(loss, '{:.4f}'.format)}{answer.unit}."
    ]
    rows = dict(answer.alternatives)
    wasted = [rows.get(name, {}).get("wasted_compute") for name in ("size × 0.5", "size × 2")]
    if all(wasted):
        half, twice = (f"{100 * band.value:.0f} %" for band in wasted)
        lines.append(f"Half the size wastes {half} of the compute, twice the size {twice}.")
    doubts = [textwrap.shorten(note.split(". ")[0], 90, placeholder=" ...") for note in answer.notes]
    return lines + [f"Doubts ({len(doubts)}, in full below): {'; '.join(doubts[:3])}."] * bool(doubts)


def between(band: Band, write=lambda value: human(short(value))) -> str:
    if np.isnan(band.low) or abs(band.high - band.low) <= 1e-9 * abs(band.value):
        return ""
    return f" ({write(band.low)} to {write(band.high)})"


def show(group, runs, answer: Answer, verbose: bool = False) -> None:
    shared.print_head(group, runs, answer.question, cautions=())  # its notes hold them
    guess = [answer.status.upper() + " FIT: what follows is a guess"] * (answer.status != "ok")
    for label, lines in (
        ("assumes", [line for line in answer.assumptions if line != frontiers.convention(runs)] * verbose),
        ("status", [f"{answer.status}: {answer.fit_message}"]),
        ("reach", [f"training compute is {answer.times_largest_run:.3g} × the largest run's"]),
        ("CAREFUL", guess + answer.notes),
    ):
        for i, line in enumerate(lines):
            wrapped = textwrap.wrap(line, 100, subsequent_indent=" " * 14)
            print(f"  {label if not i else '':<12}" + "\n".join(wrapped))
    print(f"\n  {answer.headline}\n")
    print("  under every resampled law:\n" * (answer.draws > 0), end="")
    for name, band in answer.plan.items():
        heading, form, _ = COLUMNS[name]
        print(f"  {heading:<18}{form.format(band.value):>12}  {interval_words(band, form)}".rstrip())
    print()
    for line in table(answer):
        print("  " + line)
    print()


def interval_words(band: Band, form: str) -> str:
    if np.isnan(band.low) or abs(band.high - band.low) <= 1e-9 * abs(band.value):
        return ""
    return f"95 % ({form.format(band.low)}, {form.format(band.high)})"


def table(answer: Answer) -> list[str]:
    """The alternatives as aligned lines, with the columns that any of them has; marked where the
    table has no runs of their kind."""
    least, most = answer.ratios
    names = [name for name in COLUMNS if any(name in bands for _, bands in answer.alternatives)]
    grid, untested = [["otherwise", *(COLUMNS[name][0] for name in names)]], False
    for row, bands in answer.alternatives:
        ratio = bands["tokens_per_param"].value if "tokens_per_param" in bands else least
        outside = not 0.99 * least <= ratio <= 1.01 * most
        untested |= outside
        cells = [row + " †" * outside]
        for name in names:
            _, form, with_interval = COLUMNS[name]
            cell = form.format(bands[name].value) if name in bands else ""
            if cell and with_interval and (ends := interval_words(bands[name], form)):
                cell += " " + ends.removeprefix("95 % ")
            cells.append(cell)
        grid.append(cells)
    wide = [max(map(len, column)) for column in zip(*grid, strict=True)]
    lines = ["  ".join(c.ljust(w) for c, w in zip(row, wide, strict=True)).rstrip() for row in grid]
    if untested:
        lines.append(f"† the table's runs have {least:.3g} to {most:.3g} tokens per param: untested")
    return lines
