"""What the commands on a table share: its reading, groups, output files, and the lines on top."""

import json
import math
import sys
import textwrap
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from analysis import fitting, frontiers
from analysis.commands.arguments import OTHERS, ROLES
from analysis.commands.terminal import printable
from analysis.figures.style import name_group
from analysis.fitting.bootstrap import ONE_STEP
from analysis.laws import Law
from analysis.laws.find import AUTO, find_law
from analysis.tables import Runs, headers, table
from analysis.tables.identity import best_of, best_of_lists, final_rows

# rows times parameters from which a fifth of the resamples are made where nobody asks for more
HEAVY = 20_000
PAGES = ("compare", "planner", "report")  # commands whose --output is a page
WIDTH = 100  # letters of a line, but for tables that are wider


def each_group(options, answer: Callable, several: bool = False) -> int:
    """Answer for the table, or for every value of the column of --by: a group that is refused is
    named, and the others go on. Returns the exit status.

    `answer(group, runs)` prints, and returns what the JSON file gets, an object or a list of them,
    and what makes the figure, or None. `several` objects make a list in the file whatever --by is.
    """
    check_outputs(options)
    whole = read_table(options)
    groups = whole.by(options.by) if options.by else {None: whole}
    results, refused, options.groups = [], 0, list(groups)
    for group, runs in groups.items():
        try:
            objects, plot = answer(group, runs)
            objects = objects if isinstance(objects, list) else [objects]
            results += [{"group": group, **each} if options.by or several else each for each in objects]
            if plot and options.figure:
                path, figure = named(options.figure, group, options.groups), plot()
                if group is not None:
                    name_group(figure, f"{options.by} = {printable(group)}")
                figure.savefig(path)
                print(f"figure: {path}")
        except ValueError as error:
            if group is None:
                raise
            refused += 1
            print(f"analysis {options.command}: {options.by} = {group}: {error}\n", file=sys.stderr)
    if options.json and results:
        dump(options.json, results if options.by or several else results[0])
    if getattr(options, "next", ""):
        print(f"Next: {options.next}")
    return 1 if refused else 0


def check_outputs(options) -> None:
    """Refuse files that cannot be written before the work is done, not after."""
    for name in ("json", "figure", "output"):
        if not getattr(options, name, None):
            continue
        path = Path(getattr(options, name))
        if path.is_dir():
            raise ValueError(f"--{name} {path} is a folder; name a file in it")
        if not path.parent.is_dir():
            raise ValueError(f"--{name} {path}: there is no folder {path.parent}; make it first")
        if name == "output" and options.command in PAGES and path.suffix.lower() not in (".html", ".htm"):
            raise ValueError(f"--output {path}: the page is HTML; name it FILE.html")


def read_table(options) -> Runs:
    """The table asked for, with its roles, filter and cost; curves whose run table is given take
    their FLOPs from that one."""
    roles = {role: getattr(options, role, None) for role in ROLES}
    needs = getattr(options, "needs", None)
    if hasattr(options, "law"):
        law = find_law(options.law)
        played = {name: played_by(options, name) for name in (*law.inputs, law.output)}
        if not {"params", "tokens"} <= set(played.values()):  # else flops, of which the cost is told, too
            needs = {*played, *played.values()}
        roles |= {name: own for name, own in played.items() if name in OTHERS and own not in ROLES}
    batch = getattr(options, "batch_tokens", None)  # tells the tokens of laws that do not take it in, too
    runs = table.read(options.table, where=options.where, needs=needs, **{"batch_tokens": batch, **roles})
    if batch and "batch_tokens" not in roles:
        runs = replace(runs, roles={role: own for role, own in runs.roles.items() if role != "batch_tokens"})
    if hasattr(options, "law") and needs:  # what plays no part is not spoken of
        unused = {role for role in ROLES if role not in needs}
        kept = {role: column for role, column in runs.roles.items() if role != "loss" or "loss" in needs}
        notes = tuple(note for note in runs.notes if note.partition(" =")[0] not in unused)
        runs = replace(runs, roles=kept, notes=notes)
    if options.command not in ("fit", "predict") and runs.has("loss") and (runs.usable().loss <= 0).any():
        raise ValueError(
            f"{runs.source}: {runs.roles['loss']} has losses of zero and below, which `fit` and `predict` "
            f"lift by a constant and {options.command} cannot use"
        )
    if not hasattr(options, "runs") and not getattr(options, "cluster", None):  # neither curves nor clusters
        runs = final_rows(runs)
    if options.best_of:
        runs = best_of(runs, options.best_of)
    elif runs.tried and options.command != "rates" and options.by not in runs.tried:
        runs = best_of_lists(runs)
    recounted = getattr(options, "cost", "table") == "6nd" and not getattr(options, "runs", None)
    return recount_flops(runs) if recounted else runs


def find_inputs(options, law: type[Law]) -> None:
    """Fill in, of the columns that play a law's inputs and output, those that it knows by headers of its own
    and nobody named."""
    if law.headers:
        columns = table.read(options.table, needs=()).columns
        for name, known in law.headers.items():
            if not getattr(options, name, None) and name not in columns:
                setattr(options, name, headers.find(columns, known))


def recount_flops(runs: Runs) -> Runs:
    """The same rows at 6·params·tokens FLOPs."""
    return runs.with_column("flops", 6 * runs.params * runs.tokens, "6·params·tokens, as asked")


def pick(source, *names: str) -> dict:
    """Options, or what else has such attributes, by their names: to be handed on or written."""
    return {name: getattr(source, name) for name in names}


def played_by(options, name: str) -> str:
    """The column, or role, that plays a law's input or output."""
    return name if name in ROLES else getattr(options, name, None) or name


def valleys(options, runs, method: str | None = None):
    """Approach 2: the optima of the budgets by a method (interpolation where none is asked for), their
    frontier, and which way of finding them this table favours (None where no way has an exponent)."""
    method = method or frontiers.VALLEY_METHODS[0]
    given = pick(options, "window", "budgets", "seed")
    iso = frontiers.find_optima(runs, method=method, **given)
    cost, fitted = frontiers.fit_cost(runs, options.cost), fit_if_possible(options, runs)
    front = frontiers.from_isoflop(iso, cost, fitted)
    try:
        return iso, front, frontiers.choose_valleys(runs, cost, fitted, known=iso, **given)
    except ValueError:
        return iso, front, None


def traced(options, curves, runs=None):
    """Approach 1: the envelope of training curves, of runs whose table is `runs`."""
    without = getattr(options, "intervals", None) == "none" or options.bootstrap == 0
    draws = 0 if without else options.bootstrap or 1000
    return frontiers.trace_envelope(
        curves,
        run=options.run_id,
        table=runs,
        draws=draws,
        **pick(options, "points", "levels", "smooth", "seed"),
    )


def named_law(name: str) -> type[Law] | str:
    """What `fitting.fit` takes for a --law."""
    return name if name == AUTO else find_law(name)


def fit(options, runs) -> fitting.Fit:
    """Approach 3's law, the one asked for or Chinchilla's, under a command's objective, without intervals."""
    law = named_law(getattr(options, "law", "chinchilla"))
    return fitting.fit(law, runs, **pick(options, "objective", "delta"))


def fit_if_possible(options, runs) -> fitting.Fit | None:
    """The same, where a command takes its objective and the table bears it."""
    if not hasattr(options, "objective"):
        return None
    try:
        return fit(options, runs)
    except ValueError:
        return None


def parametric(options, runs):
    """Approach 3: the fit of the law that is asked for, else Chinchilla's, and its frontier."""
    fitted = fit(options, runs)
    # those of a fit that says nothing take long, and say less
    worth = (fitted.regular or fitted.forms) and (fitted.status == "ok" or light(fitted))
    if worth or asks_intervals(options):
        fitted = with_intervals(options, fitted)
    budgets = getattr(options, "budgets", None)
    flops = np.array(sorted(budgets)) if budgets else None
    cost = frontiers.fit_cost(runs, getattr(options, "cost", "table"))
    return fitted, frontiers.from_fit(fitted, cost, flops)


def light(fitted: fitting.Fit) -> bool:
    """Whether intervals are soon made: of many rows they take long, and of a fit that is not ok the more, and
    say less."""
    return len(fitted.runs) * len(fitted.parameters) <= HEAVY / (1 if fitted.status == "ok" else 10)


def asks_intervals(options) -> bool:
    """Whether a command line names intervals, which are then made whatever the fit's status."""
    return options.intervals is not None or options.bootstrap is not None or bool(options.cluster)


def with_intervals(options, fitted: fitting.Fit) -> fitting.Fit:
    """The fit with the intervals asked for by --intervals, --bootstrap and --cluster."""
    kind, clusters = options.intervals, None
    if options.cluster:
        clusters = fitted.runs.column(options.cluster)
        kind = "cluster" if kind in (None, "auto") else kind
    if kind is None:
        kinds = {None: options.intervals_default, 0: "none"}
        kind = kinds.get(options.bootstrap, "cluster" if fitting.rows_share_runs(fitted) else "pairs")
    rows = len(fitted.runs)
    few = rows < ONE_STEP and rows * len(fitted.parameters) > HEAVY and not options.bootstrap
    return fitting.intervals(fitted, kind, 200 if few else options.bootstrap or 1000, options.seed, clusters)


def named(path: str, group: str | None, groups: Iterable[str] = ()) -> Path:
    """FILE, or FILE-GROUP.ext for one of several `groups`: letters, digits, - _ . as they are and _ for all
    else, with a number where an earlier group has the same."""
    base = Path(path)
    if group is None:
        return base
    names = [safe_name(each) for each in groups]
    before = names[: [*groups].index(group)] if group in groups else []
    again = sum(name.casefold() == safe_name(group).casefold() for name in before)
    return base.with_name(f"{base.stem}-{safe_name(group)}{f'~{again + 1}' * bool(again)}{base.suffix}")


def safe_name(group: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in group)[:100]


def each_once(refusals: Iterable[tuple[str, str]]) -> list[str]:
    """Why methods gave nothing, from (method, reason); of equal reasons one, for all that it is of."""
    methods: dict[str, list[str]] = {}
    for method, reason in refusals:
        methods.setdefault(reason, []).append(method)
    return [f"{' and '.join(names)}: {reason}" for reason, names in methods.items()]


def band_json(band) -> dict:
    return {"value": band.value, "low": band.low, "high": band.high}


def dump(path, value) -> None:
    text = json.dumps(clean(value), indent=1, ensure_ascii=False)
    Path(path).write_text(text + "\n", encoding="utf-8", errors="backslashreplace")


def clean(value):
    """JSON has no NaN: null in its place; NumPy numbers become plain ones."""
    if isinstance(value, dict):
        return {key: clean(part) for key, part in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [clean(part) for part in value]
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value


def print_head(group, runs: Runs, what: str, cautions=None) -> None:
    """What was read: the file, how many runs, which are flagged and why, the convention, and what
    looks wrong: `cautions`, or all of the table's."""
    used, dropped = len(runs.usable()), runs.dropped()
    print(f"{what}: {runs.source}" + (f" [{group}]" if group is not None else ""))
    column = f"; loss = {runs.roles['loss']}" if "loss" in runs.roles else ""
    print(f"  runs        {used} used, {len(dropped)} flagged{column}")
    counts: dict[str, list[int]] = {}
    for row, reason in dropped:
        counts.setdefault(reason, []).append(row)
    for reason, rows in list(counts.items())[:8]:
        shown = ", ".join(map(str, rows[:5])) + (", ..." if len(rows) > 5 else "")
        print(f"              {len(rows)} × {reason} (row {shown})")
    if len(counts) > 8:
        print(f"              and {len(counts) - 8} more reasons; `fit --json` holds all")
    paragraph("convention", frontiers.convention(runs))
    for caution in runs.cautions if cautions is None else cautions:
        paragraph("CAUTION", caution)


def paragraph(name: str, text: str) -> None:
    """A line of a head, its text wrapped beside its name."""
    indents = {"initial_indent": f"  {name:<12}", "subsequent_indent": " " * 14}
    print(textwrap.fill(text, WIDTH, break_on_hyphens=False, **indents))
