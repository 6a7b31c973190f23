"""How `decide` says its answer: the plan in a sentence, how sure it is, and the alternatives."""

import textwrap

import numpy as np

from analysis import frontiers
from analysis.audit.findings import in_short
from analysis.commands import shared
from analysis.decisions import Answer
from analysis.decisions.answer import BEYOND
from analysis.figures.words import human, short
from analysis.fitting import Band
from analysis.fitting.band import NOT, determined, span
from analysis.headline import DOUBT, Headline, is_far, model_of, power


def count(value: float) -> str:
    """A number of parameters or tokens to four digits, such as 44.66k."""
    return human(value) if np.isfinite(value) else NOT


COLUMNS = {  # of an answer: heading, format, whether the table of alternatives shows its interval
    "params": ("params", count, True),
    "tokens": ("tokens", count, False),
    "tokens_per_param": ("tokens/param", "{:.4g}".format, False),
    "epochs": ("epochs", "{:.3g}".format, False),
    "flops": ("training FLOPs", "{:.4g}".format, False),
    "total_flops": ("total FLOPs", "{:.4g}".format, False),
    "loss": ("loss", "{:.4f}".format, False),
    "run_loss": ("loss of one run", "{:.4f}".format, False),
    "extra_loss": ("extra loss", "{:.4f}".format, False),
    "wasted_compute": ("compute wasted", "{:.1%}".format, True),
    "device_hours": ("device-hours", "{:.4g}".format, False),
    "money": ("money", "{:.4g}".format, False),
}


def in_words(answer: Answer, best: Headline | None) -> list[str]:
    """What to train, how sure that is, what the neighbours cost and what stands against it.

    A budget alone is answered by the table's headline, in its numbers and words, and the fitted law stands
    beside it; with serving or repeats, for a loss and of a planned run only the law can answer.
    """
    flops = answer.plan["flops"].value
    alone = set(answer.given) == {"budget"} and best is not None and bool(best.model(flops))
    guess = f"A GUESS, the fit is {answer.status}. " * (answer.status != "ok" and not (best and best.trusted))
    lines = [f"{guess}Train {best.model(flops)} ({price(answer)})." if alone else guess + by_law(answer)]
    if best:
        lines += [best.refusal] * (not best.trusted) + best.answer(flops, size=not alone)
    far = best is not None and best.trusted and is_far(best.front, flops)  # and said with the evidence
    told = [each.message.rstrip(".") for each in best.audit.findings] if best and best.audit else []
    notes = [in_short(note) for note in answer.notes if note not in told and not (far and BEYOND in note)]
    of_loss = [line for line in lines if line.startswith(DOUBT)]  # beside the loss
    lines = [*(line for line in lines if line not in of_loss), *neighbours(answer, best if alone else None)]
    lines[1:1] = of_loss
    doubts = [*(best.doubts if best else []), *(f"{DOUBT}: {note}." for note in notes)]
    return [*lines, *doubts, *([best.advice(flops)] if best else [])]


def answers_alone(answer: Answer, best: Headline | None) -> bool:
    """Whether the question is of a budget and nothing else, and the table has a headline to trust."""
    return set(answer.given) == {"budget"} and reaches(best, answer.plan["flops"].value)


def reaches(best: Headline | None, flops: float) -> bool:
    """Whether a table has a headline to trust, which gives a model for a budget."""
    return best is not None and best.trusted and bool(best.model(flops))


def by_law(answer: Answer) -> str:
    """The fitted law's plan, with the intervals of its draws."""
    size, seen, loss = (answer.plan[name] for name in ("params", "tokens", "loss"))
    times = f", {answer.plan['epochs'].value:.3g} times over" if "epochs" in answer.plan else ""
    return (
        f"Train {human(short(size.value))} parameters{between(size)} on {human(short(seen.value))} "
        f"tokens{between(seen)}{times}, loss {loss.value:.3f}{between(loss, '{:.3f}'.format)}{answer.unit} "
        f"({price(answer)})."
    )


def price(answer: Answer) -> str:
    """What the plan costs."""
    plan = answer.plan
    words = [f"{power(plan['flops'].value)} FLOPs"]
    if "total_flops" in plan:
        words[0] += f" of training, {power(plan['total_flops'].value)} with serving"
    if "device_hours" in plan:
        words.append(f"{plan['device_hours'].value:.3g} device-hours")
    if "money" in plan:
        words.append(f"{plan['money'].value:.3g} of money")
    return ", ".join(words)


def neighbours(answer: Answer, best: Headline | None) -> list[str]:
    """What the answered size, half and twice of it waste by the fitted law; before it that law's own size,
    with the interval that every command gives it, where the headline is another's."""
    rows, law = dict(answer.alternatives), ""
    if best and best.front.kind != "the law":
        fitted = next((front for front in best.others if front.kind == "the law"), None)
        law = fitted and model_of(fitted, answer.plan["flops"].value)
    wasted = [rows.get(f"size × {m:g}", {}).get("wasted_compute") for m in (1, 0.5, 2)]
    words = [f"The fitted law says {law}"] * bool(law)
    if all(wasted) and not (law and not best.trusted):  # then the rows are not about the size above
        own, half, twice = (f"{100 * band.value:.0f} %" for band in wasted)
        words.append(
            f"by it the size above wastes {own} of the compute, half that size {half}, twice {twice}"
            if law
            else f"Half that size wastes {half} of the compute, twice {twice}"
        )
    return ["; ".join(words) + "."] * bool(words)


def between(band: Band, write=lambda value: human(short(value))) -> str:
    if np.isnan(band.low) or abs(band.high - band.low) <= 1e-9 * abs(band.value):
        return ""
    return f" {span(band.low, band.high, write, ' to ')}"


def show(group, runs, answer: Answer, best: Headline | None, verbose: bool = False) -> None:
    """What doing otherwise costs; with `verbose` first what the answer rests on, and every number with its
    interval over the draws."""
    if verbose:
        show_provenance(group, runs, answer, best)
    print("  other sizes, by the fitted law:" if "budget" in answer.given else "  by the fitted law:")
    for line in table(answer):
        print("  " + line)
    print()


def show_provenance(group, runs, answer: Answer, best: Headline | None) -> None:
    shared.print_head(group, runs, answer.question, cautions=())  # its notes hold them
    guess = [answer.status.upper() + " FIT: what follows is a guess"] * (answer.status != "ok")
    for label, lines in (
        ("assumes", [line for line in answer.assumptions if line != frontiers.convention(runs)]),
        ("fit", [f"{answer.status}: {answer.fit_message}"]),
        ("reach", [f"training compute is {answer.times_largest_run:.3g} × the largest run's"]),
        ("CAREFUL", guess + answer.notes),
    ):
        for i, line in enumerate(lines):
            wrapped = textwrap.wrap(line, shared.WIDTH - 14, subsequent_indent=" " * 14)
            print(f"  {label if not i else '':<12}" + "\n".join(wrapped))
    print(f"\n  by the fitted law: {answer.headline}\n")
    above = ""
    if answers_alone(answer, best):
        method = best.front.method
        method += " with `--intervals auto`" * (best.front.kind == "the law")
        above = f"; the interval on top is that of its method, {method}"
    print(f"  under every resampled law ({answer.draws} draws{above}):\n" * (answer.draws > 0), end="")
    for name, band in answer.plan.items():
        heading, form, _ = COLUMNS[name]
        print(f"  {heading:<18}{determined(band.value, form):>12}  {interval_words(band, form)}".rstrip())
    print()


def interval_words(band: Band, form: str) -> str:
    if np.isnan(band.low) or abs(band.high - band.low) <= 1e-9 * abs(band.value):
        return ""
    return f"95 % {span(band.low, band.high, form)}"


def table(answer: Answer) -> list[str]:
    """The alternatives as aligned lines, with the columns that any of them has; marked where the
    table has no runs of their kind."""
    least, most = answer.ratios
    names = [name for name in COLUMNS if any(name in bands for _, bands in answer.alternatives)]
    own = answer.plan["flops"].value
    if all(
        np.isclose(bands["flops"].value, own, rtol=1e-9)
        for _, bands in answer.alternatives
        if "flops" in bands
    ):
        names = [name for name in names if name != "flops"]  # that of the question
    grid, untested = [["otherwise", *(COLUMNS[name][0] for name in names)]], False
    for row, bands in answer.alternatives:
        ratio = bands["tokens_per_param"].value if "tokens_per_param" in bands else least
        outside = not 0.99 * least <= ratio <= 1.01 * most
        untested |= outside
        cells = [row + " †" * outside]
        for name in names:
            _, form, with_interval = COLUMNS[name]
            cell = determined(bands[name].value, form) if name in bands else ""
            if cell and with_interval and (ends := interval_words(bands[name], form)):
                cell += " " + ends.removeprefix("95 % ")
            cells.append(cell)
        grid.append(cells)
    wide = [max(map(len, column)) for column in zip(*grid, strict=True)]
    lines = ["  ".join(c.ljust(w) for c, w in zip(row, wide, strict=True)).rstrip() for row in grid]
    if untested:
        lines.append(f"† the table's runs have {least:.3g} to {most:.3g} tokens per param: untested")
    return lines
