"""`python -m analysis envelope CURVES`: the best run at each compute (approach 1)."""

import numpy as np

from analysis import frontiers
from analysis.commands import answers, shared
from analysis.commands.arguments import ENVELOPE, add_options, command, count
from analysis.commands.frontier import as_json, print_at, print_summary
from analysis.figures import plot_envelope
from analysis.frontiers import Envelope
from analysis.tables import table


def add(commands) -> None:
    sub = command(commands, "envelope", run, what="training curves")
    sub.add_argument("--runs", metavar="RUNTABLE", help="run table: sizes, FLOPs, schedules")
    add_options(sub, *ENVELOPE)
    sub.add_argument(
        "--bootstrap",
        type=count,
        default=1000,
        metavar="N",
        help="resamples of runs for intervals (default 1000; 0 is none)",
    )
    add_options(sub, "--at", "--cost", "--figure")


def run(options) -> int:
    runs = table.read(options.runs) if options.runs else None
    if runs is not None and options.cost == "6nd":
        runs = shared.recount_flops(runs)

    def answer(group, curves):
        envelope = shared.traced(options, curves, runs)
        front = frontiers.from_envelope(envelope, frontiers.fit_cost(envelope.source, options.cost))
        show(group, envelope, front, options.at)
        if options.runs:
            options.next = f"python -m analysis frontier {options.runs} --curves {options.table}"
        else:
            answers.suggest(options, "speedup")
        return as_json(front, options.at), lambda: plot_envelope(envelope, front)

    return shared.each_group(options, answer)


def show(group, envelope: Envelope, front: frontiers.Frontier, at: list[float] | None) -> None:
    """The head, then a line for each stretch of compute in which one run is the best."""
    print_summary(group, envelope.source, front)
    ends = np.flatnonzero(np.array(envelope.run[1:]) != np.array(envelope.run[:-1]))
    print(
        f"\n  {'from flops':>10}  {'to':>10}  {'params':>10}  {'tokens at end':>13}  "
        f"{'loss':>8}  {'through':>8}  {'status':<7} run"
    )
    for first, last in zip([0, *(ends + 1)], [*ends, len(envelope.run) - 1], strict=True):
        n, d, loss = envelope.params[last], envelope.tokens[last], envelope.loss[last]
        status = "-".join(dict.fromkeys((envelope.status[first], envelope.status[last])))
        print(
            f"  {envelope.flops[first]:>10.3g}  {envelope.flops[last]:>10.3g}  {n:>10.4g}  {d:>13.4g}  "
            f"{loss:>8.4f}  {100 * envelope.progress[last]:>6.0f} %  {status:<7} {envelope.run[last]}"
        )
    if at:
        print_at(front, at)
    print()
