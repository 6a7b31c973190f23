"""A law fitted to a table: a start by variable projection, the objective asked for, polished."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from analysis.fitting.band import span
from analysis.fitting.multiples import loss_units, other_units
from analysis.fitting.refusals import check_rows, lift, positive
from analysis.fitting.search import plain_values, search
from analysis.fitting.solve import OBJECTIVES, Problem, held, value
from analysis.fitting.splits import Split, describe_splits, splits
from analysis.fitting.status import Minima, fit_status, several_laws
from analysis.laws import LAWS, Array, Law
from analysis.tables.mixed import refuse_mixed_units
from analysis.tables.runs import Runs

UNJUDGED = "unjudged", "its status was not asked for", False
# K numbers computed from a law: its fields are numbers, giving (K,), or columns (S, 1), (S, K)
Quantity = Callable[[Law], Array]


@dataclass(frozen=True)
class Objective:
    """What was minimised: the sum over runs of Huber(r), |r| or r²; r in log or plain output."""

    name: str  # huber-log | l1-log | ls-log | ls
    delta: float | None  # the residual beyond which a run's pull stops growing; huber-log only
    value: float
    reduction: str = "sum"


@dataclass(frozen=True, eq=False)
class Fit:
    """A fitted law with what is needed to judge it.

    `status` is ok, few, unidentified, edge or failed, and `message` says why. `residuals` (R,) are
    log predicted - log observed of the R rows in `runs`. `draws` (S, P) are the parameters refitted
    to resamples, in the order of the law's fields, once `resample` has made them; and
    `intervals` names where `band` and `interval` are from.
    """

    law: Law
    objective: Objective
    runs: Runs
    inputs: tuple[str, ...]
    output: str
    residuals: Array
    status: str
    message: str
    starts: int
    starts_agreeing: int
    fixed: dict[str, float]
    dropped: list[tuple[int, str]]
    draws: Array | None = None
    minima: Minima = ()
    regular: bool = True  # one optimum that the runs single out, though an end of its intervals be open
    intervals: str = "none"  # what `band` speaks from: none | pairs | cluster | wild | profile
    ends: Callable[[Quantity], tuple[Array, Array]] | None = None
    forms: tuple = ()  # of `select.Form`: the forms that were weighed, where the law was "auto"
    offset: float = 0.0  # added to an output that is not above zero everywhere, in `runs` too

    def __repr__(self) -> str:
        head = f"{type(self.law).__name__} fitted to {len(self.runs)} rows of {self.runs.source}"
        lines = [f"{head} by {self.objective.name}", f"status {self.status}: {self.message}"]
        wide = max(map(len, self.parameters))
        for name, number in self.parameters.items():
            low, high = self.interval(name)
            ends = "" if low is None else f"  {span(low, high)}"
            held = "  fixed" if name in self.fixed else ""
            lines.append(f"{name:<{wide}}  {number:.4g}{ends}{held}")
        return "\n".join(lines)

    @property
    def parameters(self) -> dict[str, float]:
        """As of the output in the table: a floor without what the output was lifted by, which `law` has."""
        return {name: float(getattr(self.law, name)) - self.lifted(name) for name in self.law.names()}

    def lifted(self, name: str) -> float:
        return self.offset if name == "E" else 0.0

    @property
    def rmse(self) -> float:
        """Root mean square of the log residuals."""
        return float(np.sqrt(np.mean(self.residuals**2)))

    def band(self, quantity: Quantity) -> tuple[Array, Array]:
        """95 % intervals (low (K,), high (K,)) of numbers computed from the law; NaN where
        `resample` has made none."""
        if self.ends is None:
            value = np.atleast_1d(quantity(self.law))
            return np.full(value.shape, np.nan), np.full(value.shape, np.nan)
        return self.ends(quantity)

    def interval(self, name: str) -> tuple[float, float] | tuple[None, None]:
        """95 % interval of a parameter; (None, None) where there is none."""
        if self.ends is None or name in self.fixed:
            return None, None
        if name not in self.known:
            raise ValueError(
                f"{type(self.law).__name__} has no parameter {name!r}; it has {', '.join(self.known)}"
            )
        return self.known[name]

    @cached_property
    def table(self) -> Runs:
        """The rows without the columns that are this law's inputs beyond the usual roles: no setting of
        theirs is a caution."""
        known = {*self.inputs} - {*self.runs.roles, *self.runs.roles.values()}
        return replace(self.runs, columns={n: c for n, c in self.runs.columns.items() if n not in known})

    @cached_property
    def parted(self) -> dict[str, Split]:
        """Columns that part the residuals, whatever their names; see `splits`."""
        runs = self.runs
        inputs = [runs.column(name) for name in (*self.inputs, "flops") if runs.has(name)]
        if {"params", "tokens"} <= set(self.inputs):
            inputs.append(runs.tokens / runs.params)
        return splits(self.table, self.residuals, inputs)

    @cached_property
    def cautions(self) -> list[str]:
        """What looks wrong in the table, and columns that part the residuals and are not named there."""
        named = " ".join(self.table.cautions)
        others = {name: split for name, split in self.parted.items() if name not in named}
        lifted = [
            f"{self.output} + {self.offset:g} was fitted, to be above zero everywhere; what is given is of "
            f"{self.output} itself"
        ] * bool(self.offset)
        return [*self.table.cautions, *lifted, *filter(None, [describe_splits(others)])]

    @cached_property
    def known(self) -> dict[str, tuple[float, float]]:
        """Intervals of all fitted parameters, made at once where the first is asked for."""

        def ends_of(names: list[str], form=lambda values: values) -> dict[str, tuple[float, float]]:
            def numbers(law: Law) -> Array:
                return form(np.concatenate([np.atleast_1d(getattr(law, name)) for name in names], -1))

            return dict(zip(names, zip(*self.band(numbers), strict=True), strict=True)) if names else {}

        known = ends_of([name for name in self.law.names() if name not in self.fixed])
        open_ones = [name for name in known if name in self.law.positive() and np.isinf(known[name]).any()]
        # far up, and down to zero, only steps of the logarithm get
        for name, ends in ends_of(open_ones, np.log).items():
            known[name] = tuple(np.where(np.isinf(known[name]), np.exp(ends), known[name]))
        return {name: tuple(float(end) - self.lifted(name) for end in ends) for name, ends in known.items()}

    def law_draws(self) -> Law:
        """The law whose fields are columns (S, 1) of draws, to broadcast against (K,) inputs."""
        if self.draws is None:
            raise ValueError("this fit has no draws; make them with analysis.fitting.resample")
        return type(self.law)(*self.draws.T[:, :, None])


def fit(
    law: type[Law] | str,
    runs: Runs,
    *,
    objective: str = "huber-log",
    delta: float = 1e-3,
    inputs: tuple[str, ...] | None = None,
    output: str | None = None,
    fixed: dict[str, float] | None = None,
    starts: Sequence[Law] | None = None,
    judge: bool = True,
) -> Fit:
    """Fit `law` to the usable rows of `runs`. A poor fit is returned too, and its `status` says so.

    Minimises the sum over runs of the objective from the best few points of a grid of exponents, or from
    `starts`, on centred logarithms with exact derivatives (Hoffmann et al. 2022, eq. 3: huber-log at 1e-3).

    Args:
      law: a subclass of `Law`, its name in `LAWS`, or "auto": see `select`.
      runs: positive columns for the law's inputs and output; flagged rows are left out.
      objective, delta: see `Objective`.
      inputs, output: columns that play the law's inputs and output, when not of those names.
      fixed: parameters held at a value, such as {"E": 0.0}.
      starts: laws whose exponents to start from, not the grid; coefficients follow by projection.
      judge: whether to find the status, which takes longer than the fit; else it is "unjudged".

    Raises:
      ValueError: an unknown objective or parameter, too few rows, a column that is missing or not positive.
    """
    law, fixed = named_law(law), dict(fixed or {})
    inputs, output, used = inputs or law.inputs, output or law.output, runs.usable()
    used, offset = lift(law, used, output) if used.has(output) and not fixed else (used, 0.0)
    columns, observed = observations(law, used, inputs, output, objective, delta, fixed)
    logs = np.log(columns)
    free = np.array([i for i, name in enumerate(law.names()) if name not in fixed], int)
    check_rows(law, runs, len(used), len(free))
    centre = law.centre(logs)
    problem = Problem(law, logs - centre[:, None], observed, objective, delta, free)
    best, done, minima, agreeing, total = search(problem, held(law, fixed, centre), centre, starts)
    log_pred = law.log_predict(best, problem.logs)[0]
    reached = float(value(objective, delta, log_pred, observed)[0])
    status, message, regular = fit_status(problem, best[0], done, agreeing, minima) if judge else UNJUDGED
    found = Fit(
        law=law(**plain_values(law, best[0], centre)),
        objective=Objective(objective, delta if objective == "huber-log" else None, reached),
        runs=used,
        inputs=inputs,
        output=output,
        residuals=log_pred[0] - np.log(observed),
        status=status,
        message=message,
        starts=total,
        starts_agreeing=agreeing,
        fixed=fixed,
        dropped=runs.dropped(),
        minima=minima,
        regular=regular,
        offset=offset,
    )
    return one_law(found, logs, problem, best[0]) if judge else found


def one_law(fitted: Fit, logs: Array, problem: Problem, theta: Array) -> Fit:
    """The fit, unidentified where rows, by a column or by another unit, are told to be of several laws."""
    units = loss_units(problem, theta, fitted.runs.rows) if fitted.output == "loss" else ""
    if not units and not (fitted.regular and fitted.status in ("ok", "edge", "unidentified")):
        return fitted
    units = units or other_units(fitted.law, fitted.inputs, logs, fitted.residuals, fitted.runs.rows)
    reasons = [several_laws(fitted.parted), units, fitted.message * (fitted.status != "ok")]
    if not any(reasons[:2]):
        return fitted
    return replace(fitted, status="unidentified", message="; ".join(filter(None, reasons)))


def named_law(law: type[Law] | str) -> type[Law]:
    if isinstance(law, type) and issubclass(law, Law):
        return law
    if law not in LAWS:
        raise ValueError(f"law {law!r} is not one of {', '.join(LAWS)}")
    return LAWS[law]


def objective_of(
    law: Law,
    runs: Runs,
    *,
    objective: str = "huber-log",
    delta: float = 1e-3,
    inputs: tuple[str, ...] | None = None,
    output: str | None = None,
) -> tuple[Objective, Array]:
    """A given law's objective on the usable rows of `runs`, and its log residuals (R,): what `fit`
    would report had it ended there. Arguments and errors as in `fit`."""
    kind = type(law)
    inputs, output = inputs or kind.inputs, output or kind.output
    columns, observed = observations(kind, runs.usable(), inputs, output, objective, delta, {})
    log_pred = np.log(law.loss(*columns))
    reached = float(value(objective, delta, log_pred, observed))
    stated = Objective(objective, delta if objective == "huber-log" else None, reached)
    return stated, log_pred - np.log(observed)


def observations(
    law: type[Law], runs: Runs, inputs, output: str, objective: str, delta: float, fixed: dict
) -> tuple[list[Array], Array]:
    """What a law reads and what was observed, (R,) each; refuses arguments and columns of no use to a fit."""
    if {"params", "tokens"} & {*inputs}:
        refuse_mixed_units(runs)
    if objective not in OBJECTIVES:
        raise ValueError(f"objective {objective!r} is not one of {', '.join(OBJECTIVES)}")
    if not delta > 0:
        raise ValueError(f"delta={delta} must be positive; Hoffmann et al. 2022 use 1e-3")
    for name in fixed:
        if name not in law.names():
            known = ", ".join(law.names())
            raise ValueError(f"{law.__name__} has no parameter {name!r} to fix; it has {known}")
    return [positive(runs, name) for name in inputs], positive(runs, output)
