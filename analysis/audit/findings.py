"""What an audit says: findings with a severity each, and the verdict that follows from them."""

from dataclasses import dataclass, field

LONGEST = 240  # letters of a note beside an answer
SEVERITIES = ("ok", "note", "warn", "refuse")
# what is wrong where a finding of this code warns, in a few words for headlines
WORDS = {
    "one-ray": "all runs on one ray, tokens ∝ parameters",
    "few-levels": "too few sizes or lengths",
    "fit": "the law's fit is not ok",
    "edge": "minima at an end of the sizes tried",
    "condition": "coefficients hardly told apart",
    "flat-profile": "a coefficient hardly determined",
    "floor-against-exponent": "floor and exponents trade off",
    "approaches": "valleys and law disagree",
    "objectives": "exponents hang on how misfit is counted",
    "hold-out": "the smaller runs do not foretell the largest",
    "bend": "the law bends",
    "extrapolation": "far extrapolation",
    "outliers": "runs far off the law",
    "influence": "the growth hangs on one scale of runs",
    "noise": "the law misses by more than the noise",
    "units": "units unclear",
    "conventions": "FLOPs not counted as 6·N·D",
    "countings": "exponents hang on which column counts parameters",
    "mixed": "runs of different kinds",
    "repeated": "tokens seen more than once",
    "unfinished": "runs left out",
    "mid-curve": "rows from the middle of runs",
    "sample": "a sample of the runs",
}

ROWS = {  # codes of what is wrong with the runs, whatever is made of them; the others are of the fitted law
    *("one-ray", "few-levels", "edge", "units", "conventions", "countings", "mixed", "repeated"),
    *("unfinished", "mid-curve", "sample"),
}


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `message` is plain sentences with numbers, and what to do unless the
    severity is ok; `figures` holds the numbers by name (counts, ratios; their units are in the
    names or in docs/audit.md); `size` is, in a few words, how much it is or what it does to the answer."""

    code: str  # a key of WORDS
    severity: str  # ok | note | warn | refuse
    message: str
    figures: dict = field(default_factory=dict)
    size: str = ""

    def __post_init__(self) -> None:
        if self.severity not in SEVERITIES or self.code not in WORDS:
            raise ValueError(f"finding {self.code!r} of severity {self.severity!r} is unknown")

    @property
    def words(self) -> str:
        return f"{WORDS[self.code]}: {self.size}" if self.size else WORDS[self.code]

    @property
    def in_short(self) -> str:
        return in_short(self.message)


def in_short(note: str) -> str:
    """A note's first sentence where the whole is long, without its full stop; of one that is itself long what
    stands before a semicolon."""
    first = note if len(note) <= LONGEST else note.partition(". ")[0]
    if len(first) > LONGEST:
        first = first[:LONGEST].rpartition("; ")[0] or first
    return f"{first[0].lower()}{first[1:]}".rstrip(".")


def make_finding(
    code: str, severity: str, statement: str, advice: str, numbers: dict, size: str = ""
) -> Finding:
    """The statement alone where it is ok, else a sentence of it with what to do."""
    message = statement if severity == "ok" else sentence(statement) + advice
    return Finding(code, severity, message, numbers, size)


def grade(value: float, note: float, warn: float) -> str:
    """ok, note or warn by which threshold `value` is above; NaN is ok."""
    return "warn" if value > warn else "note" if value > note else "ok"


def sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def counted(number: int, verb: str = "has", verbs: str = "have") -> str:
    return f"{number} runs {verbs}" if number != 1 else f"1 run {verb}"


def listed(rows) -> str:
    return ", ".join(str(int(row)) for row in rows[:5]) + (", ..." if len(rows) > 5 else "")


def rank(findings) -> list[Finding]:
    """Worst first, otherwise in the order they were looked at."""
    return sorted(findings, key=lambda finding: -SEVERITIES.index(finding.severity))


def verdict_of(findings) -> str:
    """refuse or warn where any finding says so; else ok: a note speaks against nothing."""
    worst = max((SEVERITIES.index(f.severity) for f in findings), default=0)
    return SEVERITIES[worst] if worst >= 2 else "ok"


def named(findings, severity: str) -> list[str]:
    """The words of the findings of a severity, each once."""
    return list(dict.fromkeys(each.words for each in findings if each.severity == severity))


def headline_of(findings) -> str:
    """The verdict in one line."""
    verdict = verdict_of(findings)
    bad = named(findings, verdict)
    if verdict == "refuse":
        return f"NOT TO BE TRUSTED: {'; '.join(bad)}"
    if verdict == "warn":
        return f"WITH CARE: {'; '.join(bad)}"
    return f"Nothing found against it: {len({f.code for f in findings})} things looked at"
