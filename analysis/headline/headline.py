"""One answer for a table: which of its frontiers stands first, how sure that is, what would make it surer.

The rule, said here alone: **of the methods whose status is `ok` and whose exponent has a 95 % interval, the
one whose interval is narrowest; of equals, the one named first.** Where no method is `ok`, the narrowest of
those with an interval stands there, and is called not to be relied on. An audit that warns lowers strong
evidence to moderate, and one that refuses leaves none. Commands, page and notebook all ask `choose`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape

import numpy as np

from analysis.audit import Audit
from analysis.audit.findings import listed
from analysis.figures.words import STEP, ends, share, times
from analysis.figures.words import typed as power
from analysis.frontiers import Frontier
from analysis.frontiers.comparison import agreement, compare_bands
from analysis.headline.advice import what_narrows
from analysis.headline.words import is_far, loss_of, model_of, named, where
from analysis.tables.cautions import NO_ONE_LAW

SHARP, FAIR = 1.5, 4.0  # how many times the low end of growth the high end is, at most
APART = 0.01  # of the loss, within which methods whose intervals overlap are no doubt
TEN = 0.03  # by how much ten times the compute may miss ten times params and tokens unexplained
CAUSES = ("units", "conventions", "countings")  # findings that may make a table's law impossible
DOUBT = "Doubt"  # how a line that speaks against an answer begins


@dataclass(frozen=True, eq=False, repr=False)
class Headline:
    """The frontier that answers for a table, beside the others, and the table's audit if there is one."""

    front: Frontier
    others: tuple[Frontier, ...] = ()
    audit: Audit | None = None

    def __repr__(self) -> str:
        return "\n".join(self.lines())

    def _repr_html_(self) -> str:
        first, *others = map(escape, self.lines())
        return f"<p><b>{first}</b></p>" + "".join(f"<p>{line}</p>" for line in others)

    @property
    def trusted(self) -> bool:
        return is_trusted(self.front) and not self.against("refuse")

    def against(self, severity: str) -> str:
        """What the audit says against the table that is so severe, in a few words; "" if nothing."""
        return "; ".join(self.audit.words(severity)) if self.audit else ""

    @cached_property
    def evidence(self) -> str:
        """strong: growth is known within a factor 1.5, another trusted method agrees, or overlaps and lies
        within that factor too, and the audit does not warn; moderate: within a factor 4 and none disagrees,
        or all within 1.5; weak: all other trusted answers, and those of losses that do not compare; none:
        nothing here may be trusted."""
        return "moderate" if self._judged[0] == "strong" and self.against("warn") else self._judged[0]

    @cached_property
    def _judged(self) -> tuple[str, str]:
        """(the evidence, why it is called so)."""
        if not self.trusted:
            return "none", "no method may be trusted here"
        if any(NO_ONE_LAW in caution for caution in self.front.cautions):
            return "weak", "losses of different text are mixed in it"
        others = [other for other in self.others if is_trusted(other)]
        words, bands = [agreement(self.front, other) for other in others], [self.front.params_exponent]
        spread = STEP ** (bands[0].high - bands[0].low)
        bands += [other.params_exponent for other, word in zip(others, words, strict=True) if word != "costs"]
        hull = STEP ** (max(band.high for band in bands) - min(band.low for band in bands))
        known, near = f"known within {share(spread)}", hull <= SHARP
        if "disagree" in words:
            apart = (
                f"methods disagree, their intervals together spanning {share(hull)}"
                if near
                else "methods disagree"
            )
            return "moderate" if near else "weak", apart
        if spread > FAIR:
            return "weak", f"growth is hardly known, within {share(spread)}"
        agreeing = sum(word == "agree" or (word == "in part" and near) for word in words)
        if not agreeing:
            how = "methods agree in part on growth" if "in part" in words else "one method alone tells growth"
            return "moderate", f"{how}, {known}"
        both = "both methods agree" if len(words) == 1 else f"{1 + agreeing} methods agree"
        return "strong" if spread <= SHARP else "moderate", f"{both} on growth, {known}"

    @property
    def growth(self) -> str:
        """Ten times the compute, in words."""
        a, b = self.front.params_exponent, self.front.tokens_exponent
        sized = ends(a).replace("(", "(95 %: ", 1) if np.isfinite([a.low, a.high]).all() else ends(a)
        by = f", by {self.front.kind}" if self.front.kind else ""
        return f"Ten times the compute: {times(a)} the parameters{sized}, {times(b)} the tokens{ends(b)}{by}."

    @property
    def product(self) -> str:
        """Why growth of params and tokens do not make ten, where they do not."""
        both = STEP ** (self.front.params_exponent.value + self.front.tokens_exponent.value)
        if not abs(both / STEP - 1) > TEN:
            return ""
        return " (FLOPs here are not 6·N·D, so the two growths do not make ten.)"

    def size(self, flops: float | None = None) -> str:
        """What to train at a budget, by default the largest whose minimum was seen, as a sentence."""
        at, why = self.seen if flops is None else flops, ""
        if flops is None and at < 0.999 * self.front.flops.max():
            why = " (the largest budget whose minimum is inside the sizes tried)"
        model = self.model(at)
        return model and f"At {power(at)} FLOPs{why}: {model}."

    @property
    def seen(self) -> float:
        """The largest budget of the frontier at which no method's least loss is at an end of the sizes."""
        edges = [
            flops
            for each in (self.front, *self.others)
            for flops, status in zip(each.flops, each.point_status, strict=True)
            if status == "edge"
        ]
        inside = self.front.flops[~np.isin(self.front.flops, edges)]
        return float((inside if inside.size else self.front.flops).max())

    def model(self, flops: float) -> str:
        """The model for a budget, with its 95 % intervals; "" where the method does not reach there."""
        return model_of(self.front, flops, self.of_loss(flops))

    def of_loss(self, flops: float) -> Frontier:
        """The frontier that tells the loss at a budget: its own, but beyond budgets too few to show a floor
        a trusted law's, as a line without one is too low there."""
        if tells_loss(self.front, flops):
            return self.front
        others = (each for each in self.others if is_trusted(each) and each.kind == "the law")
        return next(others, self.front)

    @property
    def how_sure(self) -> str:
        return " ".join(self.sure_at(None))

    def sure_at(self, flops: float | None, names: bool = True) -> list[str]:
        """The evidence and why; the method it is by, and what others say. Of a budget far beyond the table's
        that the evidence is of the growth inside it. `names`: with what the audit warns of."""
        front, top, sure = self.front, float(self.front.flops.max()), self.evidence
        if self.trusted and flops is not None and is_far(front, flops):
            sure = f"weak at {power(flops)} FLOPs ({where(front, flops)}), {sure} for the growth"
        spread = " to ".join(dict.fromkeys(map(power, (front.flops.min(), top))))
        runs, edges = f"{front.runs} runs, {spread} FLOPs", sum(at == "edge" for at in front.point_status)
        used = f"{len(front.flops) - edges} of {len(front.flops)} budgets used"
        runs += f", {used} (the others have their minimum at an end)" * bool(edges)
        a = front.params_exponent.value
        warned = self.against("warn") if self.trusted else ""
        but = (", but the audit warns" + f" ({warned})" * names) * bool(warned)
        others = "".join(map(self.beside, self.others))
        return [
            f"Evidence: {sure}: {self._judged[1]}{but}; {runs}.",
            f"By {named(front)}, params ∝ FLOPs^{a:.3f}{others}.{self.product}",
        ]

    @property
    def refusal(self) -> str:
        """Why nothing here is to be relied on; "" where it is."""
        if self.trusted:
            return ""
        front = self.front
        if is_trusted(front):
            return f"NOT TO BE RELIED ON: the audit refuses it ({self.against('refuse')})."
        why = f"is {front.status}: {front.message}" if front.status != "ok" else "has no interval"
        return f"NOT TO BE RELIED ON: {front.method} {why}."

    def other_losses(self, flops: float | None = None) -> list[str]:
        """Doubts of trusted methods whose loss at a budget has no part of its interval in common with this
        one's, or lies outside it and over APART off."""
        flops = self.seen if flops is None else flops
        front = self.of_loss(flops)
        own, doubts = loss_of(front, flops), []
        others = (
            each for each in (self.front, *self.others) if each is not front and tells_loss(each, flops)
        )
        for other in filter(is_trusted, others if self.trusted and own else ()):
            its = loss_of(other, flops)
            word, apart = (compare_bands(own, its), abs(its.value / own.value - 1)) if its else ("", 0.0)
            if word == "disagree" or (word == "in part" and apart > APART):
                why = "more than" if word == "disagree" else "at the edge of what"
                doubts.append(
                    f"{DOUBT} of the loss: at {power(flops)} FLOPs it is {its.value:.3f} ({its.low:.3f} to "
                    f"{its.high:.3f}) by {named(other)}, {100 * apart:.1f} % apart, {why} intervals allow: "
                    f"plan on {min(own.low, its.low):.3f} to {max(own.high, its.high):.3f}."
                )
        return doubts

    def beside(self, other: Frontier) -> str:
        """What another method says, and why it does not stand first."""
        a = other.params_exponent
        if not np.isfinite(a.value):
            return f"; by {named(other)} no exponent"
        if other.status != "ok":
            reason = f"but is {other.status}"
        elif not np.isfinite([a.low, a.high]).all():
            reason = "without an interval"
        else:
            words = {"agree": "agrees on growth", "in part": "overlaps", "disagree": "DISAGREES"}
            reason = f"which {words.get(agreement(self.front, other), 'is under another cost')}"
        return f"; by {named(other)} {times(a)}{ends(a)}, {reason}"

    def surer(self, flops: float | None = None) -> str:
        """What to train that would mend what the audit found, or narrow the answer most, by what its methods
        lack; of a budget far beyond the table's, one on the way there."""
        least, top = float(self.front.flops.min()), float(self.front.flops.max())
        if self.trusted and flops is not None and is_far(self.front, flops):
            end = top if flops > top else least
            between = float(f"{end * np.clip((flops / end) ** 0.5, 1 / STEP, STEP):.2g}")
            return f"a budget of {power(between)} FLOPs, on the way there"
        findings = self.audit.findings if self.audit else ()
        found = {each.code for each in findings if each.severity in ("warn", "refuse")}
        if "one-ray" in found:
            return "runs at other tokens a parameter, as the answer says"
        if "outliers" in found:
            rows = next(each.figures["rows"] for each in findings if each.code == "outliers")
            return (
                f"a look at {'rows' if rows[1:] else 'row'} {listed(rows)}, left out (--where) if it failed"
            )
        if "hold-out" in found:
            return f"a budget of {power(STEP * top)} FLOPs, to see where the curve goes"
        return what_narrows(self.front, self.others)

    def advice(self, flops: float | None = None) -> str:
        return f"Surer with: {self.surer(flops)}."

    def answer(self, flops: float | None = None, size: bool = True, names: bool = True) -> list[str]:
        """What was found and how sure that is, a sentence or two a line, without the advice; `size`: with
        the model for the budget."""
        growth = self.growth if self.trusted else f"It would say: {self.growth[0].lower()}{self.growth[1:]}"
        lines = [growth, self.size(flops) * size, *self.sure_at(flops, names), *self.other_losses(flops)]
        return [line for line in lines if line]

    @property
    def doubts(self) -> list[str]:
        """What the audit warns of, with its numbers, a line each."""
        return self.audit.against(self.front.kind) if self.audit and self.trusted else []

    @property
    def causes(self) -> list[str]:
        """Where nothing is to be relied on, what of the columns themselves may be why."""
        found = self.audit.findings if self.audit and not self.trusted else ()
        doubted = (each for each in found if each.severity in ("warn", "refuse") and each.code in CAUSES)
        return [f"May be why: {each.in_short}." for each in doubted]

    def lines(self, flops: float | None = None, names: bool = True) -> list[str]:
        """The whole answer; where it is not to be relied on, first why."""
        return [
            *[self.refusal] * (not self.trusted),
            *self.answer(flops, names=names),
            *self.doubts,
            *self.causes,
            self.advice(flops),
        ]


def tells_loss(front: Frontier, flops: float) -> bool:
    """Whether a method may tell the loss at a budget: up to its last minimum, or with a floor."""
    return front.has_floor or flops < 1.001 * last_minimum(front)


def last_minimum(front: Frontier) -> float:
    """The largest budget of a frontier's own whose minimum does not lie at an end."""
    inside = front.flops[np.array(front.point_status) != "edge"]
    return float((inside if inside.size else front.flops).max())


def is_trusted(front: Frontier) -> bool:
    a = front.params_exponent
    return front.status == "ok" and bool(np.isfinite([a.value, a.low, a.high]).all())


def choose(fronts: Sequence[Frontier], audit: Audit | None = None) -> Headline | None:
    """The headline of several frontiers of one table, by the rule above; None where none has an exponent."""

    def rank(front: Frontier) -> tuple:
        a = front.params_exponent
        width = a.high - a.low
        return not is_trusted(front), width if np.isfinite(width) else np.inf

    known = [front for front in fronts if np.isfinite(front.params_exponent.value)]
    if not known:
        return None
    best = min(known, key=rank)
    return Headline(best, tuple(front for front in fronts if front is not best), audit)
