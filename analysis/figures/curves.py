"""The figure of training curves: held-out loss as it fell, a line a run."""

import numpy as np

from analysis.figures.style import ramp, sheet, size_colours, styled
from analysis.figures.words import human, loss_label
from analysis.tables.curves import run_names
from analysis.tables.runs import Runs


@styled
def plot_curves(curves: Runs):
    """Loss by training FLOPs (tokens where there are none), coloured by the run's params.

    Raises:
      ValueError: no column names a row's run, or there is no loss or no count to draw it against.
    """
    names, against = run_names(curves), "flops" if curves.has("flops") else "tokens"
    x, loss = curves.column(against), curves.column("loss")
    whole = np.isfinite(x) & np.isfinite(loss) & (x > 0)
    runs = [np.flatnonzero((names == name) & whole) for name in dict.fromkeys(names[whole].tolist())]
    if not runs:
        raise ValueError(f"{curves.source}: no point of a curve has both {against} and a loss")
    sizes = curves.column("params") if curves.has("params") else np.ones(len(x))
    norm = size_colours(sizes[whole])
    text = f"Each line is one of {len(runs)} runs; darker ones are smaller: {span(sizes[whole])} parameters."
    fig, ax = sheet(7.0, 4.2, text)
    for rows in runs:
        rows = rows[np.argsort(x[rows])]
        ax.plot(x[rows], loss[rows], color=ramp()(norm(sizes[rows[0]])), lw=1)
    ax.set(xscale="log", yscale="log", xlabel=f"training {against}", ylabel=loss_label(curves))
    ax.set_title("Training curves")
    return fig


def span(sizes) -> str:
    return " to ".join(dict.fromkeys(human(float(size)) for size in (sizes.min(), sizes.max())))
