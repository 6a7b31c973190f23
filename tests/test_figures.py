from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from analysis import fitting, frontiers, report
from analysis.audit import audit_runs
from analysis.figures import (
    plot_audit,
    plot_frontier,
    plot_isoflop,
    plot_law,
    plot_places,
    plot_predicted,
    style,
)
from analysis.figures.axes import count_axis, log_axes, power_axis
from analysis.figures.words import human, share
from analysis.fitting import fit
from analysis.laws import LAWS, Chinchilla, PowerLaw
from analysis.report.fitted import law_chart
from analysis.tables import table
from bench import synthetic
from tests.test_laws import SUBJECTS

TRUTH = Chinchilla(E=1.2, A=25.0, B=60.0, alpha=0.4, beta=0.36)


@pytest.fixture(scope="module")
def found():
    runs = synthetic.isoflop(TRUTH, [8e11, 1.6e12, 3.2e12, 6.4e12], noise=0.003, replicates=2)
    iso = frontiers.find_optima(runs)
    fitted = fitting.resample(fit(Chinchilla, runs), 50)
    return iso, frontiers.from_isoflop(iso), fitted, frontiers.from_fit(fitted)


def words(figure) -> str:
    import matplotlib.text

    return "\n".join(t.get_text() for t in figure.findobj(matplotlib.text.Text))


def apart(figure) -> bool:
    """The words of no two ticks of an axis touch."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure).draw()
    for axis in [axis for ax in figure.axes for axis in (ax.xaxis, ax.yaxis)]:
        low, high = sorted(axis.get_view_interval())
        seen = [tick for tick in axis.get_major_ticks() if low * 0.999 <= tick.get_loc() <= high * 1.001]
        boxes = [tick.label1.get_window_extent() for tick in seen if tick.label1.get_text()]
        along = "x" if axis.axis_name == "x" else "y"
        ends = sorted((getattr(box, f"{along}0"), getattr(box, f"{along}1")) for box in boxes)
        if any(end >= start for (_, end), (start, _) in pairwise(ends)):
            return False
    return True


def inside(figure) -> bool:
    """No title, legend entry, axis label or caption reaches beyond the sheet."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure).draw()
    texts = list(figure.texts)
    for ax in figure.axes:
        texts += [ax.title, ax._left_title, ax.xaxis.label, ax.yaxis.label]
        legends = [child for child in ax.get_children() if hasattr(child, "get_texts")]
        texts += [text for legend in legends for text in legend.get_texts()]
    boxes = [text.get_window_extent() for text in texts if text.get_text()]
    width, height = figure.bbox.width, figure.bbox.height
    return len(boxes) > 3 and all(
        box.x0 > -1 and box.y0 > -1 and box.x1 < width + 1 and box.y1 < height + 1 for box in boxes
    )


@pytest.mark.parametrize("name", LAWS)
def test_a_fit_of_every_law_is_drawn(name):
    truth, columns = next(s for s in SUBJECTS if type(s[0]) is LAWS[name])
    law = LAWS[name]
    named = dict(zip(law.inputs, columns, strict=True)) | {law.output: truth.loss(*columns)}
    found = fit(law, table.from_columns(**named))
    assert inside(plot_predicted(found))
    if len(law.inputs) == 1:
        assert plot_law(found).axes[0].get_title("left")


def test_valleys_hold_every_run_each_minimum_and_a_caption_of_the_same_objects(found):
    iso, front, _, _ = found
    figure = plot_isoflop(iso, front, {"bigram": 2.51, "a $ sign": 2.2})
    points = np.concatenate([c.get_offsets() for c in figure.axes[0].collections])
    for run in zip(iso.runs.params, iso.runs.loss, strict=True):
        assert np.isclose(points, run).all(1).any()
    text = words(figure).replace("\n", " ")
    assert "bigram  2.51" in text and str(front.params_exponent) in text
    assert f"{len(iso.runs)} runs at 4 budgets" in text
    assert "more than 1 epoch" in text
    assert inside(figure)


def test_every_method_and_an_edge_can_be_drawn():
    runs = synthetic.isoflop(TRUTH, [8e11, 1.6e12, 3.2e12], centre=20.0)
    for method in frontiers.VALLEY_METHODS:
        iso = frontiers.find_optima(runs, method=method)
        assert "at an edge: not used" in words(plot_isoflop(iso, frontiers.from_isoflop(iso)))


def test_frontier_panels_name_both_exponents(found):
    _, valley, _, parametric = found
    figure = plot_frontier([valley, parametric], at=[1e14])
    text = words(figure)
    for front in (valley, parametric):
        assert f"a = {front.params_exponent}" in text and f"b = {front.tokens_exponent}" in text
    assert figure.axes[0].get_xlim()[1] > 1e14
    for ax, band in zip(figure.axes, parametric.at([1e14]), strict=True):
        drawn = [tuple(np.ravel(line.get_xydata())) for line in ax.lines]
        assert any(len(xy) == 2 and np.allclose(xy, (1e14, band.value[0])) for xy in drawn)
    assert "Open marks" in text and inside(figure)


def test_law_figure_shows_every_run_and_its_residual(found):
    fitted = found[2]
    figure = plot_law(fitted)
    points = figure.axes[1].collections[-1].get_offsets()
    expected = 100 * (fitted.runs.loss / fitted.law.loss(fitted.runs.params, fitted.runs.tokens) - 1)
    np.testing.assert_allclose(np.sort(points[:, 1]), np.sort(expected), atol=1e-9)
    assert inside(figure)
    x = np.geomspace(1e3, 1e6, 9)
    assert plot_law(fit(PowerLaw, table.from_columns(x=x, y=1 + x**-0.3))).axes


def test_losses_below_zero_are_drawn_as_they_are_beside_what_the_law_says_of_them():
    truth = Chinchilla(E=-2.0, A=60.0, B=200.0, alpha=0.3, beta=0.28)
    sizes, seen = np.geomspace(1e6, 1e8, 6), np.geomspace(1e8, 1e10, 5)
    params, tokens = (side.ravel() for side in np.meshgrid(sizes, seen))
    loss = truth.loss(params, tokens)
    fitted = fit(Chinchilla, table.from_columns(params=params, tokens=tokens, unigram_normalized_loss=loss))
    assert fitted.offset > 1 and loss.min() < 0 < loss.max()
    at = {"params": np.array([1e9]), "tokens": np.array([1e11])}
    places = plot_places(fitted, at, fitting.predict(fitted, **at), np.array([np.nan]))
    figures = plot_law(fitted), plot_predicted(fitted), places
    for figure in figures:
        (dots,) = (c.get_offsets() for c in figure.axes[0].collections if len(c.get_offsets()) == len(loss))
        np.testing.assert_allclose(dots[:, 1], loss)
        assert figure.axes[0].get_yscale() == "linear" and inside(figure)
    for ax, named in ((figures[0].axes[0], sizes), (places.axes[0], at["params"])):
        for line, size in zip(ax.lines, named, strict=True):
            np.testing.assert_allclose(line.get_ydata(), truth.loss(size, line.get_xdata()), atol=1e-3)
    gaps = figures[0].axes[1].collections[-1].get_offsets()[:, 1]
    assert np.abs(gaps).max() < 1e-3 and figures[0].axes[1].get_title("left") == "Observed above the fit"
    for panel in law_chart(fitted, {int(row): i for i, row in enumerate(fitted.runs.rows)}).panels:
        drawn = np.concatenate([each.y for each in panel.marks])
        assert not panel.y.log and panel.y.low < drawn.min() < 0 < drawn.max() < panel.y.high < 0.3


def red(figure) -> list[str]:
    return [t.get_text() for t in figure.texts if t.get_color() == style.WARNING]


def overlap(figure) -> bool:
    """Whether the warning on top touches a title, another text of the sheet, or an axis."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure).draw()
    warning = next(t for t in figure.texts if t.get_color() == style.WARNING)
    boxes = [t.get_window_extent() for t in figure.texts if t is not warning and t.get_text()]
    boxes += [ax.get_tightbbox() for ax in figure.axes]
    return any(warning.get_window_extent().overlaps(box) for box in boxes)


def test_a_figure_of_an_answer_not_to_be_trusted_says_so_in_red(found):
    iso, valley, fitted, _ = found
    trusted = (plot_isoflop(iso, valley), plot_law(fitted), plot_frontier([valley]))
    assert not any(red(figure) for figure in trusted)
    params = np.geomspace(1e6, 1e9, 12)
    ray = table.from_columns(params=params, tokens=20 * params, loss=TRUTH.loss(params, 20 * params))
    lost = fit(Chinchilla, ray)
    edge = frontiers.find_optima(synthetic.isoflop(TRUTH, [8e11, 1.6e12, 3.2e12], centre=20.0))
    for figure, words in (
        (plot_law(lost), "NOT TO BE TRUSTED: all runs lie on one ray"),
        (plot_isoflop(edge, frontiers.from_isoflop(edge)), "WITH CARE: 0 of 3 budgets"),
        (plot_frontier([valley, frontiers.from_fit(lost)], "A title"), "one ray"),
        (plot_law(fitted, verdict=audit_runs(ray).badge()), "all runs on one ray"),
        (plot_isoflop(iso, valley, verdict="WITH CARE: " + "a long story " * 40), "..."),
    ):
        assert words in red(figure)[0].replace("\n", " ")
        assert inside(figure) and not overlap(figure)


def test_the_audits_figure_shows_every_held_out_run_and_each_profile(found):
    seen = audit_runs(found[0].runs, fitted=found[2], iso=found[0])
    figure = plot_audit(seen, title="A title")
    ahead = np.concatenate([c.get_offsets() for c in figure.axes[0].collections])
    for step in seen.steps:
        for point in zip(step.observed, step.predicted, strict=True):
            assert np.isclose(ahead, point).all(1).any()
    assert len(figure.axes) == 5 and inside(figure)
    for symbol, one in zip(("α", "β", "E"), seen.profiles.values(), strict=True):
        assert f"{symbol} = {one.value:.3g}" in words(figure)


def test_a_reference_is_drawn_on_its_own_side_of_the_runs(found):
    """A compressor that beats every run must not stand above them."""
    iso, front, *_ = found
    losses = iso.runs.usable().loss
    for level in (0.99 * losses.min(), 1.01 * losses.max()):
        figure = plot_isoflop(iso, front, references={"mine": level})
        low, high = figure.axes[0].get_ylim()
        assert low < level < high
        assert any(np.allclose(line.get_ydata(), level) for line in figure.axes[0].lines)
    assert "mine  0.01, below" in words(plot_isoflop(iso, front, references={"mine": 0.01}))


def test_names_from_outside_are_drawn_as_they_stand(found):
    iso, front, fitted, _ = found
    evil = r"<script>$\frac{$ \nowhere_{"  # half a formula, which no drawing could end
    columns = {evil: np.geomspace(1, 100, 9), f"{evil}y": np.geomspace(3, 1, 9)}
    curve = fit(PowerLaw, table.from_columns(evil, **columns), inputs=(evil,), output=f"{evil}y")
    drawn = [
        plot_isoflop(iso, front, references={evil: 2.0}, title=evil),
        plot_frontier([front], title=evil),
        plot_law(fitted, title=evil),
        plot_law(curve),
        plot_predicted(curve, title=evil),
        plot_audit(audit_runs(iso.runs, fitted=fitted, iso=iso), title=evil),
    ]
    for figure in drawn:
        report.picture(figure)
        assert evil in words(figure).replace(r"\$", "$")


def test_drawing_leaves_the_callers_style_alone(found):
    import matplotlib

    before = dict(matplotlib.rcParams)
    plot_law(found[2])
    assert dict(matplotlib.rcParams) == before


@given(st.floats(-3, 24), st.floats(0.3, 12), st.floats(2.5, 9), st.sampled_from((power_axis, count_axis)))
@example(-0.9375, 0.375, 3.0, power_axis)
@settings(max_examples=12, deadline=None)
def test_words_of_a_logarithmic_axis_never_touch_and_two_stand_there(low, decades, inches, kind):
    fig, ax = style.sheet(inches, 2.5, "")
    ends = 10.0**low, 10.0 ** (low + decades)
    log_axes(ax, kind, kind, xlim=ends, ylim=ends)
    assert apart(fig)
    seen = [tick for tick in ax.get_xticks() if ends[0] <= tick <= ends[1]]
    assert len(seen) >= 2 or decades < 1


@pytest.mark.parametrize(
    ("value", "text"), [(50_000, "50k"), (1e6, "1M"), (2.5e9, "2.5B"), (1e12, "1T"), (7, "7")]
)
def test_counts_read_as_people_say_them(value, text):
    assert human(value) == text


def test_a_share_is_told_in_percent_up_to_where_a_factor_has_two_digits():
    assert [share(factor) for factor in (1.01, 1.094, 1.096, 1.5)] == [
        "1 %",
        "9 %",
        "a factor 1.1",
        "a factor 1.5",
    ]
