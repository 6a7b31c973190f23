"""Figures 3 and 4 of Hoffmann et al. 2022, drawn from the points that were read off the latter."""

import numpy as np

from analysis.fitting.fit import Fit
from analysis.frontiers.frontier import Frontier
from analysis.frontiers.isoflop import Isoflop
from analysis.laws import published


def valleys(iso: Isoflop, line: Frontier):
    """Figure 3 of the paper: the valleys, and their minima projected to Gopher's compute."""
    from analysis.figures import style
    from analysis.figures.isoflop import draw_valley

    top = published.GOPHER_FLOPS.value
    span = np.geomspace(3e18, 1.5e24, 60)
    bands = line.at(span)

    def draw():
        caption = (
            f"{sum(len(p.runs) for p in iso.profiles)} points read off Hoffmann et al.'s Figure 4, "
            f"within 10 % of nine budgets; a parabola in ln N through each valley. "
            f"a = {line.params_exponent}, b = {line.tokens_exponent}; bands 95 %. Star: "
            "Chinchilla as trained."
        )
        fig, axes = style.sheet(11.4, 3.9, caption, columns=3, widths=(1.25, 1, 1), wspace=0.05)
        colours = style.sequence(len(iso.profiles))
        for profile, colour in zip(iso.profiles, colours, strict=True):
            axes[0].scatter(profile.runs.params, profile.runs.loss, color=colour, s=9, zorder=3)
            draw_valley(axes[0], iso, profile, colour)
            axes[0].plot(
                profile.params,
                profile.loss,
                "o",
                color=colour,
                ms=6,
                zorder=6,
                mec=style.INK,
                label=style.power(profile.budget),
            )
        axes[0].set(
            xscale="log",
            yscale="log",
            xlabel="parameters",
            title="IsoFLOP valleys",
            ylabel="training loss (nats per token)",
        )
        style.count_axis(axes[0].xaxis, *axes[0].get_xlim())
        style.plain_axis(axes[0].yaxis, *axes[0].get_ylim())
        axes[0].legend(
            title="FLOPs", fontsize=7, ncols=2, loc="upper right", handletextpad=0.1, columnspacing=0.6
        )
        made = (published.CHINCHILLA_PARAMS.value, published.CHINCHILLA_TOKENS.value)
        for ax, band, points, star, name in zip(
            axes[1:], bands, (line.params, line.tokens), made, ("parameters", "tokens"), strict=False
        ):
            inside = span <= line.flops.max()
            style.draw_band(ax, span, band, style.FAINT, "")
            ax.lines[0].set(ls=(0, (4, 2)))
            ax.plot(span[inside], band.value[inside], color=style.INK, lw=1.4)
            ax.scatter(
                line.flops, points.value, color=colours, s=34, edgecolors=style.INK, linewidths=0.8, zorder=5
            )
            at = float(np.exp(np.interp(np.log(top), np.log(span), np.log(band.value))))
            ax.vlines(top, ax.get_ylim()[0], at, color="#3a9188", ls=(0, (5, 3)), lw=1.1)
            ax.hlines(at, span[0], top, color="#3a9188", ls=(0, (5, 3)), lw=1.1)
            ax.annotate(
                style.human(float(f"{at:.2g}")),
                (span[0] * 1.6, at),
                (0, 4),
                textcoords="offset points",
                color="#2c6f68",
                fontweight="bold",
            )
            ax.plot(top, star, "*", ms=11, color="#d9a420", mec=style.INK, mew=0.7, zorder=6)
            ax.set(
                xscale="log",
                yscale="log",
                xlabel="training compute (FLOPs)",
                xlim=(span[0], span[-1]),
                title=f"Optimal {name}",
                ylim=(band.value[0] / 2, band.value[-1] * 2.5),
            )
            style.power_axis(ax.xaxis, *ax.get_xlim())
            style.count_axis(ax.yaxis, *ax.get_ylim())
        return fig

    return style.styled(draw)()


def contour(fitted: Fit, budgets: tuple[float, ...]):
    """Figure 4 of the paper: contours of equal loss and the frontier, and slices of equal FLOPs."""
    from matplotlib.colors import LogNorm

    from analysis.figures import style

    runs, law, top = fitted.runs, fitted.law, published.GOPHER_FLOPS.value
    theirs = published.law(published.HOFFMANN_TEX)
    blue, red = style.METHOD_COLOURS[:2]
    ends = [float(one.optimum(top)[0]) for one in (law, theirs)]

    def draw():
        caption = (
            f"{len(runs)} points read off the paper's Figure 4 and our Huber fit to them "
            f"(contours, blue, a = {law.exponents()[0]:.3f}); red: the frontier of the paper's "
            f"constants (a = {theirs.exponents()[0]:.3f}). At Gopher's compute they part: "
            f"{style.human(float(f'{ends[0]:.2g}'))} and "
            f"{style.human(float(f'{ends[1]:.2g}'))} parameters. Right: points within 10 % of "
            "nine budgets; lines: the fit at each budget."
        )
        fig, axes = style.sheet(10.6, 4.4, caption, columns=2, widths=(1.15, 1), wspace=0.05)
        levels = (1.9, 1.95, 2, 2.1, 2.2, 2.3, 2.4, 2.6, 2.8, 3, 3.3, 3.7, 4.2, 5, 6)
        flops, params = np.geomspace(2e18, 1.5e24, 160), np.geomspace(4e7, 2e11, 160)
        loss = law.loss(params[:, None], flops / (6 * params[:, None]))
        axes[0].set(
            xscale="log",
            yscale="log",
            xlabel="training compute (FLOPs)",
            ylabel="parameters",
            title="Contours of equal loss",
            xlim=(flops[0], flops[-1]),
            ylim=(params[0], params[-1]),
        )
        shade = {"cmap": style.ramp().reversed(), "norm": LogNorm(1.9, 3.7, clip=True)}
        drawn = axes[0].contour(flops, params, loss, levels, linewidths=0.9, **shade)
        axes[0].clabel(drawn, fmt="%g", fontsize=7, inline_spacing=1)
        axes[0].scatter(
            runs.flops, runs.params, c=runs.loss, s=13, edgecolors="white", linewidths=0.3, zorder=4, **shade
        )
        named = (
            (law, blue, ends[0], "frontier of our fit"),
            (theirs, red, ends[1], "frontier of the paper's constants"),
        )
        for one, colour, end, name in named:
            axes[0].plot(flops, one.optimum(flops)[0], color=colour, lw=2, label=name, zorder=5)
            axes[0].plot(top, end, "o", color=colour, ms=7, mec="white", zorder=6)
        axes[0].axvline(top, color=style.FAINT, lw=1.1, ls=(0, (5, 3)))
        axes[0].annotate(
            "Gopher's compute",
            (top, params[0]),
            (4, 6),
            rotation=90,
            fontsize=8,
            textcoords="offset points",
            color="#666666",
        )
        axes[0].legend(
            loc="lower center", frameon=True, facecolor="white", edgecolor="none", framealpha=1.0
        ).set_zorder(7)
        for budget, colour in zip(budgets, style.sequence(len(budgets)), strict=True):
            near = np.abs(runs.flops / budget - 1) <= 0.1
            axes[1].scatter(
                runs.params[near], runs.loss[near], color=colour, s=11, zorder=3, label=style.power(budget)
            )
            sizes = np.geomspace(runs.params[near].min() / 1.3, runs.params[near].max() * 1.3, 80)
            axes[1].plot(sizes, law.loss(sizes, budget / (6 * sizes)), color=colour, lw=1.2)
        best = law.optimum(np.array(budgets))
        axes[1].plot(best[0], law.loss(*best), color=blue, lw=2, zorder=5)
        axes[1].set(
            xscale="log",
            yscale="log",
            xlabel="parameters",
            title="Slices of equal FLOPs",
            ylabel="training loss (nats per token)",
            ylim=(2.1, 3.5),
        )
        axes[1].legend(
            title="FLOPs", fontsize=7, ncols=2, loc="upper right", handletextpad=0.1, columnspacing=0.6
        )
        style.power_axis(axes[0].xaxis, *axes[0].get_xlim())
        style.count_axis(axes[0].yaxis, *axes[0].get_ylim())
        style.count_axis(axes[1].xaxis, *axes[1].get_xlim())
        style.plain_axis(axes[1].yaxis, *axes[1].get_ylim())
        return fig

    return style.styled(draw)()
