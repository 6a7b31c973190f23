"""The page's own figures, from the objects that the figures of a paper are drawn from."""

from collections.abc import Mapping, Sequence

import numpy as np

from analysis.figures import isoflop as valleys
from analysis.figures.frontier import caption as frontier_caption
from analysis.figures.words import human, loss_label
from analysis.fitting import Band
from analysis.frontiers import Frontier, Isoflop
from analysis.report.axes import Axis, power, span
from analysis.report.svg import Chart, Marks, Panel
from analysis.tables.runs import Runs

RAMP = 12  # colours of the style sheet's ramp, r0 to r11
METHODS = 4  # and of its methods, m0 to m3
COUNTED = ("params", "tokens", "flops")  # axes that runs can be drawn against
LABELS = {"params": "parameters", "tokens": "tokens", "flops": "training compute (FLOPs)"}
KINDS = {"params": "count", "tokens": "count", "flops": "power"}

Places = Mapping[int, int]  # the row a table gives a run -> its place in the page's table


def ramp(place: float) -> str:
    """The class of a colour, 0 (low) to 1 (high)."""
    return f"r{round((RAMP - 1) * min(1.0, max(0.0, place)))}"


def place_of(i: int, count: int) -> float:
    return i / (count - 1) if count > 1 else 0.3


def axis(name: str, values, **how) -> Axis:
    low, high = span(values, **how)
    return Axis(LABELS.get(name, name), low, high, True, KINDS.get(name, "power"), name)


def size_classes(sizes: np.ndarray) -> list[str]:
    logs = np.log(np.maximum(sizes, 1e-300))
    low, wide = np.nanmin(logs), np.nanmax(logs) - np.nanmin(logs)
    return [ramp((each - low) / wide if wide > 0 else 0.3) for each in np.nan_to_num(logs, nan=low)]


def counted(runs: Runs) -> list[str]:
    """Columns that x may change to: counts above zero of every run."""
    return [name for name in COUNTED if runs.has(name) and np.nanmin(runs.column(name)) > 0]


def dots(runs: Runs, places: Places, x: str, y: str = "loss", **how) -> Marks:
    rows = [places[int(row)] for row in runs.rows]
    return Marks("dots", runs.column(x), runs.column(y), rows=rows, hollow=valleys.repeated(runs), **how)


def isoflop_chart(
    iso: Isoflop, front: Frontier | None, references: Mapping[str, float] | None, places: Places
) -> Chart:
    """Valleys at equal compute, by params or tokens."""
    marks, legend, minima = [], {}, []
    known = np.isfinite(iso.noise.sigma)
    for k, valley in enumerate(iso.valleys):
        colour, group = ramp(place_of(k, len(iso.valleys))), f"{power(valley.budget)} FLOPs"
        legend[group] = colour
        look = {"colour": colour, "group": group}
        x, y = valleys.valley_curve(iso, k)
        if len(x):
            marks.append(Marks("line", x, y, other=along(valley, x), **look))
        marks.append(dots(valley.runs, places, "params", **look))
        if valley.status == "few":
            continue
        here, height = np.array([valley.params]), np.array([valley.loss])
        words = f"{group}: best at {human(float(f'{valley.params:.3g}'))} parameters, loss {valley.loss:.4f}"
        ends = np.array([valley.low, valley.high])
        if valley.inside and known:
            words += f" ({' to '.join(human(float(f'{end:.3g}')) for end in ends)})"
            marks.append(Marks("line", ends, height.repeat(2), "ink", group, other=along(valley, ends)))
        minima.append(words)
        kind = "minimum" if valley.inside else "cross"
        marks.append(Marks(kind, here, height, words=[words], other=along(valley, here), **look))
    runs = [valley.runs for valley in iso.valleys]
    losses = np.concatenate([each.loss for each in runs])
    x = axis("params", np.concatenate([each.params for each in runs]))
    near, far = split_levels(references or {}, losses)
    low, high = span(losses, np.array(list(near.values())), room=0.07)
    for name, level in near.items():
        ends = np.array([x.low, x.high])
        words = [f"{name}: {level:.3f}"]
        marks.append(Marks("line", ends, np.array([level] * 2), "soft", words=words, style="dashed"))
    y = Axis(loss_label(iso.runs), low, high)
    alt = f"Loss against model size: {len(losses)} runs at {len(runs)} budgets. {'; '.join(minima)}."
    again = any(valleys.repeated(each).any() for each in runs)
    signs = ["open: text seen again"] * again
    signs += ["×: minimum at an end"] * any(each.kind == "cross" for each in marks)
    title = "Loss at equal compute" + f" ({'; '.join(signs)})" * bool(signs)
    choices = ["params", "tokens"] if all(each.has("tokens") for each in runs) else []
    words = valleys.caption(iso, front) + level_words(near, far)
    words += " Open circles: runs that saw tokens more than once." * again
    return Chart("valleys", [Panel(title, x, y, marks, alt, choices)], words, legend)


def along(valley, params: np.ndarray) -> dict[str, np.ndarray]:
    """Places on a valley by the tokens that its compute gives each size."""
    return {"tokens": np.array([valley.tokens_at(float(each)) for each in params])}


def split_levels(references: Mapping[str, float], losses) -> tuple[dict, dict]:
    """Levels among the losses or near them, and those that would flatten the valleys."""
    low, high = losses.min(), losses.max()
    reach = np.cbrt(high / low)
    near = {name: level for name, level in references.items() if low / reach <= level <= high * reach}
    return near, {name: level for name, level in references.items() if name not in near}


def level_words(near: Mapping[str, float], far: Mapping[str, float]) -> str:
    words = " Dashed: " + ", ".join(f"{name} {level:.3f}" for name, level in near.items()) + "."
    beyond = " Outside the figure: " + ", ".join(f"{name} {level:.3f}" for name, level in far.items()) + "."
    return words * bool(near) + beyond * bool(far)


def frontier_chart(fronts: Sequence[Frontier]) -> Chart:
    """The best params, tokens and loss against compute, by every method, with 95 % bands."""
    flops = np.concatenate([front.flops for front in fronts])
    x = axis("flops", flops, room=0.08)
    grid = np.geomspace(x.low, x.high, 24)
    ribbons, panels = [bands(front, grid) for front in fronts], []
    unit = next((front.unit for front in fronts if front.unit), "")
    heads = (
        "Optimal parameters",
        "Optimal tokens",
        f"Loss at the optimum{f' ({unit.strip()})' * bool(unit)}",
    )
    for i, name in enumerate(("params", "tokens", "loss")):
        marks, ends, words = [], [], []
        for k, (front, three) in enumerate(zip(fronts, ribbons, strict=True)):
            look = {"colour": f"m{k % METHODS}", "group": front.method}
            if three:
                marks += band_marks(grid, three[i], look)
                ends += [three[i].value, *clipped(three[i])]
            points = getattr(front, name)
            if front.kind == "valleys":
                marks += optima(front, points, look)
                ends.append(points.value)
            exponent = {"params": front.params_exponent, "tokens": front.tokens_exponent}.get(name)
            words.append(f"{front.method}: exponent {exponent}" if exponent is not None else front.method)
        low, high = span(*ends) if ends else (1.0, 10.0)
        y = Axis(name if name == "loss" else LABELS[name], low, high, kind=KINDS.get(name, "plain"))
        panels.append(Panel(heads[i], x, y, marks, f"{heads[i]} against compute. {'; '.join(words)}."))
    legend = {front.method: f"m{k % METHODS}" for k, front in enumerate(fronts)}
    return Chart("frontier", panels, frontier_caption(fronts), legend)


def bands(front: Frontier, grid: np.ndarray) -> tuple[Band, ...]:
    try:
        return front.at(grid)
    except ValueError:
        return ()


def clipped(band: Band) -> list[np.ndarray]:
    """A band's sides as far as a figure shows them: within ten times its values."""
    inside = [np.clip(side, band.value / 10, band.value * 10) for side in (band.low, band.high)]
    return inside if np.isfinite(inside).all() else []


def band_marks(x: np.ndarray, band: Band, look: dict) -> list[Marks]:
    marks = []
    if np.isfinite(band.low).all():
        sides = np.concatenate([band.low, band.high[::-1]])
        marks.append(Marks("band", np.concatenate([x, x[::-1]]), sides, **look))
    return [*marks, Marks("line", x, band.value, **look)]


def optima(front: Frontier, band: Band, look: dict) -> list[Marks]:
    """A budget's optimum each, with its interval; a cross at an edge."""
    marks = []
    for i, status in enumerate(front.point_status):
        value, low, high = (float(end[i]) for end in (band.value, band.low, band.high))
        if status not in ("ok", "flat", "edge") or not np.isfinite(value):
            continue
        words = f"{front.method} at {power(front.flops[i])} FLOPs: {value:.4g}"
        if np.isfinite([low, high]).all() and status != "edge":
            words += f" ({low:.4g} to {high:.4g})"
            marks.append(Marks("line", front.flops[[i, i]], np.array([low, high]), **look))
        kind = "cross" if status == "edge" else "minimum"
        marks.append(Marks(kind, front.flops[[i]], np.array([value]), words=[words], **look))
    return marks
