"""Which rows are of runs without an end, as a column says: by a tracker's, tuner's or scheduler's word, by
a yes or no, by an exit code, by the share of the run that is done, or by its steps of those planned."""

import re
from collections.abc import Collection, Iterator, Mapping

import numpy as np

from analysis.tables.headers import EXPERIMENTS, NAMES, RUN_IDS, SEEDS, find_all, normalize, parse
from analysis.tables.kinds import written

FINISHED = set(
    "done ok okay finished complete completed success successful succeeded passed published".split()
)
ENDED = set("terminated stopped closed inactive ended exited".split())  # finished where no other word is
UNFINISHED = set(
    "pruned fail failed failure killed kill running crashed crash waiting pending queued scheduled paused "
    "error errored cancelled canceled timeout timed_out time_out timedout deadline node_fail boot_fail "
    "out_of_memory oom preempted preempting aborted abort abandoned early_stopped early_stop early_stopping "
    "diverged interrupted in_progress inprogress ongoing training active stopping starting started submitted "
    "suspended requeued resizing revoked incomplete unfinished partial not_started infeasible lost evicted "
    "dead created candidate staged signaling stage_out special_exit nan".split()
)
STATE = re.compile(r"(?:\w+_)?(?:state|status|outcome|result)")
PREFIX = re.compile(r"(?:(?:trial|job|run|task)_?)?(?:state|status)_")  # TrialState.PRUNED, JOB_STATE_FAILED
GOOD = set("finished is_finished completed is_complete is_completed done is_done succeeded success".split())
BAD = set(
    "failed is_failed crashed diverged is_diverged pruned is_pruned killed aborted early_stopped exclude "
    "excluded discard discarded invalid".split()
)
YES, NO = {"true", "yes", "y", "1"}, {"false", "no", "n", "0"}
SUMMARIES = set("total totals sum mean average avg median std stdev stddev".split())
SUMS_UP = ": it sums up other rows"  # ends the reason of a row that does
EXIT = {"exit_code", "exitcode", "return_code", "returncode"}
SHARE = re.compile(
    r"progress(?:_(?:pct|percent|fraction|share))?|(?:training|train|run)_progress"
    r"|(?:percent|pct|fraction|frac|share)_(?:done|complete|completed|finished|trained|of_(?:run|training|steps))"
    r"|(?:run|training|train|steps?|tokens?)_(?:fraction|frac|share|percent|pct|done_share)|completion"
)
DONE = 0.99  # share of a run from which on it counts as over
AT = ("step", "steps", "global_step", "iteration", "iter", "iters", "tokens", "tokens_seen")
PLANNED = re.compile(
    r"(?:max|total|planned|target|num_train|train|n_total)_(steps?|iters?|iterations?|updates?|tokens)"
)


def state_word(value) -> str:
    """A cell as a word of state: TrialState.PRUNED -> pruned, CANCELLED by 1000 -> cancelled, diverged at 3k
    -> diverged."""
    text = PREFIX.sub("", normalize(written(value)), count=1)
    text = re.sub(r"_by_\w+$|_\d+$", "", text)
    words = text.split("_")
    begins = ("_".join(words[:size]) for size in range(len(words), 0, -1))
    return next((begin for begin in begins if begin in FINISHED | ENDED | UNFINISHED), text)


def ends(columns: Mapping[str, np.ndarray]) -> Iterator[tuple[np.ndarray, str]]:
    """(rows (R,), reason) of runs that say that they came to no good end."""
    for name, cells in columns.items():
        words = parse(name).last
        if STATE.fullmatch(words) and cells.dtype == object:
            yield from by_word(name, cells, words == "status")
        elif words in GOOD | BAD:
            values = np.array([yes(value) for value in cells.tolist()], object)
            wrong = values == (words in BAD)
            if not (values == None).any() and not wrong.all():  # noqa: E711 element by element
                yield wrong, f"{name} is {'true' if words in BAD else 'false'}"
        elif words in EXIT:
            code = np.array([re.sub(r"(\.0+)?(:0)?$", "", written(value)) for value in cells.tolist()])
            for value in dict.fromkeys(code[(code != "0") & (code != "")]):
                yield code == value, f"{name} is {value}"


def summaries(
    columns: Mapping[str, np.ndarray], unnamed: Collection[str]
) -> Iterator[tuple[np.ndarray, str]]:
    """(rows (R,), reason) that sum up others, as a name or seed says, such as Total or mean."""
    for name in (*find_all(columns, (*NAMES, *RUN_IDS, *EXPERIMENTS, *SEEDS)), *unnamed):
        if (cells := columns[name]).dtype == object:
            words = {cell for cell in set(cells.tolist()) if written(cell).lower().rstrip(":") in SUMMARIES}
            rows = np.isin(cells, [*words]) if words else np.zeros(0, bool)
            if 0 < rows.sum() < len(rows) / 2:
                yield rows, f"{name} is {', '.join(sorted(words))}{SUMS_UP}"


def by_word(name: str, cells: np.ndarray, certain: bool) -> Iterator[tuple[np.ndarray, str]]:
    """Of a column that states how runs ended. A word that nobody knows counts as no end, but for a
    column that holds none of the known ones it is no such column, unless that is `certain`."""
    words = {value: state_word(value) for value in dict.fromkeys(cells.tolist())}
    known = set(words.values())
    finished = FINISHED | {""} | (set() if known & FINISHED else ENDED)
    if certain or known & (FINISHED | ENDED | UNFINISHED):
        for value, word in words.items():
            if word not in finished:
                yield cells == value, f"{name} is {value}"


def yes(value) -> bool | None:
    text = written(value).lower()
    return text in YES if text in YES | NO else None


def unfinished(columns: Mapping[str, np.ndarray]) -> Iterator[tuple[np.ndarray, str]]:
    """(rows (R,), reason) that stand before the end of their run, by their share or steps of it."""
    heads = {name: parse(name).last for name, cells in columns.items() if cells.dtype != object}
    for name, words in heads.items():
        if SHARE.fullmatch(words):
            whole = np.nanmax(columns[name], initial=-1.0)
            for end in (1.0, 100.0):
                if DONE * end <= whole <= end * 1.001:
                    yield columns[name] < DONE * end, f"{name} is below {end:g}: before the end of its run"
        elif planned := PLANNED.fullmatch(words):
            kind = planned[1].rstrip("s").replace("iteration", "iter")
            at = next((each for each in heads if heads[each] in AT and kind in heads[each]), None)
            if at and (columns[at] >= DONE * columns[name]).any():
                yield columns[at] < DONE * columns[name], f"{at} is below {name}: before the end of its run"
