"""`python -m analysis envelope CURVES`: the best run at each compute (approach 1)."""

import numpy as np

from analysis.commands import frontier as fronts
from analysis.commands import shared
from analysis.frontiers import costs, frontier
from analysis.frontiers.envelope import Envelope
from analysis.tables import table


def add(commands) -> None:
    help = "the best run at each compute, from training curves"
    sub = shared.command(commands, "envelope", run, help, what="training curves")
    sub.add_argument("--runs", metavar="RUNTABLE", help="run table: sizes, FLOPs, schedules")
    shared.add_envelope_options(sub)
    sub.add_argument(
        "--bootstrap",
        type=shared.count,
        default=1000,
        metavar="N",
        help="resamples of runs for intervals (default 1000; 0 is none)",
    )
    sub.add_argument("--at", type=shared.numbers, metavar="F,F", help="budgets to extrapolate to")
    sub.add_argument("--cost", choices=("table", "6nd"), default="table")
    shared.add_figure(sub)


def run(options) -> int:
    results = []
    runs = table.read(options.runs) if options.runs else None
    if runs is not None and options.cost == "6nd":
        runs = shared.six(runs)

    def one(group, curves) -> None:
        if runs is None and options.cost == "6nd":
            curves = shared.six(curves)
        found = shared.traced(options, curves, runs)
        front = frontier.from_envelope(found, costs.of(found.source, options.cost))
        show(group, found, front, options.at)
        results.append(shared.with_group(group, fronts.as_json(front, options.at)))
        if options.figure:
            from analysis.figures import envelope

            shared.save(options, group, lambda: envelope.envelope(found, front))

    def reader(options) -> table.Runs:
        roles = {role: getattr(options, role) for role in shared.ROLES}
        return table.read(options.table, where=options.where, **roles)

    status = shared.each_group(options, one, reader)
    shared.write_json(options, results)
    return status


def show(group, found: Envelope, front: frontier.Frontier, at: list[float] | None) -> None:
    """The head, then a line for each stretch of compute in which one run is the best."""
    fronts.print_summary(group, found.source, front)
    ends = np.flatnonzero(np.array(found.run[1:]) != np.array(found.run[:-1]))
    print(
        f"\n  {'from flops':>10}  {'to':>10}  {'params':>10}  {'tokens at end':>13}  "
        f"{'loss':>8}  {'through':>8}  {'status':<7} run"
    )
    for first, last in zip([0, *(ends + 1)], [*ends, len(found.run) - 1], strict=True):
        n, d, loss = found.params[last], found.tokens[last], found.loss[last]
        both = found.status[first] == found.status[last]
        status = found.status[last] if both else f"{found.status[first]}-{found.status[last]}"
        print(
            f"  {found.flops[first]:>10.3g}  {found.flops[last]:>10.3g}  {n:>10.4g}  {d:>13.4g}  "
            f"{loss:>8.4f}  {100 * found.progress[last]:>6.0f} %  {status:<7} {found.run[last]}"
        )
    if at:
        fronts.print_at(front, at)
    print()
