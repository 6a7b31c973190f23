"""Figures of the page as SVG text: marks over two axes, each mark with the run it stands for.

Written here and not by a plotting library: uPlot (51 kB) draws on a canvas only, which neither prints sharply
nor can be read aloud; Plot with d3 is 490 kB and plotly 1.2 MB. What is written is a whole figure without any
script; panel.js reads the marks back off it to zoom, to change an axis and to say which run is pointed at.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from analysis.laws import Array
from analysis.report.axes import Axis
from analysis.report.text import text

WIDE, TALL = 460, 330  # of a panel, in the units of its view box
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 26, 46  # its margins
DIAMOND, CROSS = "M0-6L6 0 0 6-6 0Z", "M-5-5L5 5M-5 5L5-5"


@dataclass(frozen=True, eq=False)
class Marks:
    """What is drawn of one kind in one colour: `dots` (open ones where `hollow`), a `line`, the two sides of
    a `band` (`x` there and back), `minimum` diamonds or `cross`es.

    `rows` (one a dot, or one for a line) are places in the run table, by which a mark is found; `words`
    what is said of each mark instead. `colour` names a class of the style sheet, `group` the entry of the
    legend. `other` holds x under another axis's name.
    """

    kind: str
    x: Array
    y: Array
    colour: str = "ink"
    group: str = ""
    rows: Sequence[int] = ()
    hollow: Array | None = None
    words: Sequence[str] = ()
    style: str = ""
    other: dict[str, Array] | None = None


@dataclass(frozen=True, eq=False)
class Panel:
    """One pair of axes, with what stands on it and what is said to who can't see it."""

    title: str
    x: Axis
    y: Axis
    marks: Sequence[Marks]
    alt: str
    choices: Sequence[str] = ()  # columns that x may change to


@dataclass(frozen=True, eq=False)
class Chart:
    """Panels side by side under one legend (group -> colour), with their caption."""

    name: str
    panels: Sequence[Panel]
    caption: str
    legend: dict[str, str]


def chart(each: Chart) -> str:
    """A figure of the page."""
    panels = "".join(panel(one, f"{each.name}-{i}") for i, one in enumerate(each.panels))
    keys = "".join(
        f'<button type="button" class="key {colour}" data-group="{text(name)}" aria-pressed="true">'
        f"<i></i><bdi>{text(name)}</bdi></button>"
        for name, colour in each.legend.items()
    )
    legend = f'<div class="legend" role="group" aria-label="Shown">{keys}</div>' * bool(keys)
    many = " many" * (len(each.panels) > 1)
    return (
        f'<figure class="chart{many}" id="{each.name}"><div class="panels">{panels}</div>{legend}'
        f"<figcaption>{text(each.caption)}</figcaption></figure>"
    )


def panel(one: Panel, name: str) -> str:
    axes = {"x": asdict(one.x), "y": asdict(one.y), "choices": list(one.choices)}
    spec = text(json.dumps(axes, allow_nan=False))
    clip = f'<clipPath id="clip-{name}"><rect x="{LEFT}" y="{TOP}" width="{WIDE - LEFT - RIGHT}" '
    clip += f'height="{TALL - TOP - BOTTOM}"/></clipPath>'
    return (
        f'<svg class="panel" viewBox="0 0 {WIDE} {TALL}" role="img" tabindex="0" '
        f'aria-label="{text(one.alt)}" data-panel="{spec}"><defs>{clip}</defs>'
        f'<text class="title" x="{LEFT}" y="16">{text(one.title)}</text>'
        f'<g class="axes">{ticks(one.x, one.y)}</g><g class="marks" clip-path="url(#clip-{name})">'
        f"{''.join(draw(marks, one.x, one.y) for marks in one.marks)}</g></svg>"
    )


def ticks(x: Axis, y: Axis) -> str:
    """Both axes with their grid, ticks and labels."""
    right, foot, parts = WIDE - RIGHT, TALL - BOTTOM, []
    for tick, at in zip(x.ticks(), across(x, x.ticks()), strict=True):
        parts.append(f'<path class="grid" d="M{at:.1f} {TOP}V{foot}"/>')
        parts.append(f'<text x="{at:.1f}" y="{foot + 17}" text-anchor="middle">{x.write(tick)}</text>')
    for tick, at in zip(y.ticks(), up(y, y.ticks()), strict=True):
        parts.append(f'<path class="grid" d="M{LEFT} {at:.1f}H{right}"/>')
        parts.append(f'<text x="{LEFT - 7}" y="{at + 4:.1f}" text-anchor="end">{y.write(tick)}</text>')
    parts.append(f'<path class="frame" d="M{LEFT} {TOP}V{foot}H{right}"/>')
    middle = (LEFT + right) / 2
    parts.append(
        f'<text class="label" x="{middle}" y="{TALL - 8}" text-anchor="middle">{text(x.label)}</text>'
    )
    place = f'transform="translate(13 {(TOP + foot) / 2}) rotate(-90)"'
    parts.append(f'<text class="label" {place} text-anchor="middle">{text(y.label)}</text>')
    return "".join(parts)


def across(axis: Axis, values: Array) -> Array:
    return pixels(LEFT + (WIDE - LEFT - RIGHT) * axis.share(np.asarray(values, float)))


def up(axis: Axis, values: Array) -> Array:
    foot = TALL - BOTTOM
    return pixels(foot - (foot - TOP) * axis.share(np.asarray(values, float)))


def pixels(places: Array) -> Array:
    """Far outside is outside: an open end is no number of a drawing."""
    return np.clip(np.nan_to_num(places, nan=-9999.0, posinf=9999, neginf=-9999), -9999, 9999)


def draw(marks: Marks, x: Axis, y: Axis) -> str:
    """A kind of marks as one group."""
    places = [f"{a:.2f} {b:.2f}" for a, b in zip(across(x, marks.x), up(y, marks.y), strict=True)]
    if marks.kind in ("line", "band"):
        shape = f"M{'L'.join(places)}" + "Z" * (marks.kind == "band")
        body = f'<path d="{shape}"{row_of(marks, 0)}{others(marks)}>{title(marks, 0)}</path>'
    else:
        body = "".join(dot(marks, i, place) for i, place in enumerate(places))
    kind = f"{marks.kind} {marks.style}".strip()
    return f'<g class="{kind} {marks.colour}" data-group="{text(marks.group)}">{body}</g>'


def dot(marks: Marks, i: int, place: str) -> str:
    where = f' transform="translate({place})"{row_of(marks, i)}'
    if marks.kind == "dots":
        hollow = ' class="hollow"' if marks.hollow is not None and marks.hollow[i] else ""
        return f'<circle r="4"{hollow}{where}/>'
    shape = CROSS if marks.kind == "cross" else DIAMOND
    return f'<path d="{shape}"{where}{others(marks, i)}>{title(marks, i)}</path>'


def row_of(marks: Marks, i: int) -> str:
    return f' data-row="{marks.rows[i]}"' if len(marks.rows) else ""


def title(marks: Marks, i: int) -> str:
    return f"<title>{text(marks.words[i])}</title>" if len(marks.words) else ""


def others(marks: Marks, i: int | None = None) -> str:
    """x of a mark that is no run, under the axes that may stand in."""
    parts = {name: values if i is None else values[i : i + 1] for name, values in (marks.other or {}).items()}
    return "".join(f' data-{name}="{" ".join(f"{v:.5g}" for v in values)}"' for name, values in parts.items())
