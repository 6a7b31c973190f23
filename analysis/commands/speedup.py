"""`python -m analysis speedup CURVES`: steps, tokens and FLOPs to equal loss, and their ratio."""

import numpy as np

from analysis import frontiers
from analysis.commands import answers, shared
from analysis.commands.arguments import add_options, command, positive_count


def add(commands) -> None:
    sub = command(commands, "speedup", run, what="training curves")
    sub.add_argument("--baseline", metavar="RUN", default="", help="the run to compare with (the first)")
    sub.add_argument(
        "--levels", type=positive_count, default=9, metavar="K", help="losses between (default 9)"
    )
    add_options(sub, "--run-id", "--smooth")
    sub.set_defaults(runs=None, figure=None, needs={"loss"})  # curves, which may lack counts


def run(options) -> int:
    def answer(group, curves):
        speedups = frontiers.speedups(
            curves, options.baseline, options.run_id, options.levels, options.smooth
        )
        shared.print_head(group, curves, "steps to equal loss", cautions=())
        for each in speedups:
            show(each)
        answers.suggest(options, "envelope")
        return [as_json(each) for each in speedups], None

    return shared.each_group(options, answer, several=True)


def show(each: frontiers.Speedup) -> None:
    low, middle, high = np.percentile(each.ratio, [0, 50, 100])
    print(f"\n  {each.run}, {each.axis} to equal loss: the baseline needs {middle:.3g} × as many")
    print(f"  (from {low:.3g} to {high:.3g} along the curve, {each.ratio[-1]:.3g} at its end)\n")
    print(f"  {'loss':>9}  {'baseline':>10}  {'run':>10}  {'ratio':>7}")
    for loss, base, needs, ratio in zip(each.loss, each.baseline, each.needs, each.ratio, strict=True):
        print(f"  {loss:>9.4f}  {base:>10.4g}  {needs:>10.4g}  {ratio:>7.3f}")
    print()


def as_json(each: frontiers.Speedup) -> dict:
    rows = zip(each.loss, each.baseline, each.needs, each.ratio, strict=True)
    return {
        "run": each.run,
        "axis": each.axis,
        "ratio": float(np.median(each.ratio)),
        "ratio_at_end": each.ratio[-1],
        "rows": [dict(zip(("loss", "baseline", "run", "ratio"), row, strict=True)) for row in rows],
    }
