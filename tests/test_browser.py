"""The page in a real browser: what a reader can ask of it, and that nothing in a table can act on it."""

import csv
import re
import shutil
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from analysis import fitting, frontiers, report
from analysis.commands import planner as planners
from analysis.decisions import plans
from analysis.fitting import fit
from analysis.laws import Chinchilla
from analysis.tables import table
from bench import synthetic
from experiments import atlas
from lab.commands import watch

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright (pip) is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="chromium (Debian's package) is not installed")

QUICKSTART = Path(__file__).parents[1] / "experiments/results/quickstart.csv"
TRUTH = Chinchilla(E=1.2, A=25.0, B=60.0, alpha=0.4, beta=0.36)
EVIL = "</script><script>document.title='owned'</script><img src=x onerror=alert(1)>\u202egnp.exe $x$"


@pytest.fixture(scope="module")
def browser():
    """One browser for all pages."""
    with sync_api.sync_playwright() as engine:
        try:
            browser = engine.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        except sync_api.Error as error:
            pytest.skip(f"{CHROMIUM} does not start here: {str(error).splitlines()[0]}")
        yield browser
        browser.close()


@pytest.fixture
def visit(browser, tmp_path):
    """Opens HTML text as a file; afterwards nothing may have gone wrong or asked for anything."""
    troubles, contexts = [], []

    def show(html: str, address: str = "", **how):
        path = tmp_path / "page.html"
        path.write_text(html, encoding="utf-8", errors="backslashreplace")
        contexts.append(browser.new_context(**{"viewport": {"width": 1100, "height": 800}} | how))
        page = contexts[-1].new_page()
        page.on("console", lambda message: troubles.append(message.text))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("request", lambda asked: troubles.append(asked.url) if not own(asked.url) else None)
        page.goto(path.as_uri() + address)
        return page

    def own(url: str) -> bool:
        return url.startswith(("data:", "blob:", (tmp_path / "page.html").as_uri()))

    yield show
    for context in contexts:
        context.close()
    assert not troubles


@pytest.fixture(scope="module")
def runs():
    made = synthetic.isoflop(TRUTH, [8e11, 1.6e12, 3.2e12, 6.4e12], noise=0.003, replicates=2)
    columns = {
        name: made.column(name) for name in ("run_id", "budget", "params", "tokens", "flops", "loss", "seed")
    }
    return table.from_columns("a grid", **columns)


@pytest.fixture(scope="module")
def html(runs):
    iso, fitted = frontiers.find_optima(runs), fitting.resample(fit(Chinchilla, runs), 30)
    fronts = [frontiers.from_isoflop(iso), frontiers.from_fit(fitted)]
    return report.page(runs, title="A grid", fit=fitted, isoflop=iso, frontiers=fronts)


def test_pointing_says_the_run_and_a_click_marks_it_everywhere(visit, html, runs):
    page = visit(html)
    dot = page.locator("#valleys circle").nth(3)
    row = int(dot.get_attribute("data-row"))
    dot.hover(force=True)
    said = page.locator("#tip").inner_text()
    for name in ("run_id", "params", "tokens", "loss", "seed"):
        assert name in said
    assert str(runs.columns["run_id"][row]) in said and f"{runs.loss[row]:.6g}" in said
    dot.click(force=True)
    figures = page.locator(".marked[data-row]").evaluate_all(
        "all => all.map(e => [e.dataset.row, e.closest('figure')?.id])"
    )
    assert {tuple(each) for each in figures} >= {(str(row), "valleys"), (str(row), "law")}
    assert page.locator(f"tr.marked[data-row='{row}'] input").is_checked()
    page.reload()
    assert page.locator(f"#law .marked[data-row='{row}']").count() == 2
    page.get_by_role("button", name="clear marks").click()
    assert page.locator(".marked").count() == 0


def test_marks_stand_where_the_table_says_on_every_axis(visit, html, runs):
    """The places of dots are read back from the drawing: along tokens they lie as log tokens do."""
    page = visit(html)
    for name, log in (("params", True), ("tokens", True), ("tokens", False)):
        page.locator("#valleys select").select_option(name)
        if not log:
            page.locator("#valleys button:text-is('log x')").click()
        spots = page.locator("#valleys circle").evaluate_all(
            "all => all.map(e => [+e.dataset.row, e.getCTM().e])"
        )
        rows, places = np.array(spots).T
        values = runs.column(name)[rows.astype(int)]
        x = np.log(values) if log else values
        slope, start = np.polyfit(x, places, 1)
        np.testing.assert_allclose(start + slope * x, places, atol=0.5)  # pixels
        labels = page.locator("#valleys .axes text[y][text-anchor=middle]:not(.label)").evaluate_all(
            "all => all.map(e => [e.textContent, +e.getAttribute('x')])"
        )
        marks = np.array([number(words) for words, _ in labels])
        at = [place for _, place in labels]
        assert len(at) > 2
        left = page.locator("#valleys svg").evaluate("svg => svg.getCTM().e")
        np.testing.assert_allclose(start + slope * (np.log(marks) if log else marks) - left, at, atol=0.5)


def number(words: str) -> float:
    """20k as 20000."""
    return float(words.rstrip("kMBT")) * {"k": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}.get(words[-1], 1.0)


def test_the_table_sorts_filters_and_downloads(visit, html, runs):
    page = visit(html, "#sort=-loss")
    first = page.locator("tbody tr[data-row]").first
    assert int(first.get_attribute("data-row")) == int(np.argmax(runs.loss))
    page.get_by_role("button", name=re.compile("^loss")).click()
    page.get_by_role("button", name=re.compile("^loss")).click()
    assert int(first.get_attribute("data-row")) == int(np.argmin(runs.loss))
    assert page.locator("th[aria-sort=ascending]").count() == 1
    page.get_by_role("searchbox").fill("seed=0 loss<2.2")
    passing = (runs.column("seed") == 0) & (runs.loss < 2.2)
    assert f"{passing.sum()} of {len(runs)} runs" in page.locator("#runs .soft").inner_text()
    assert page.locator("#valleys circle:not(.faded)").count() == passing.sum()
    with page.expect_download() as got:
        page.get_by_role("button", name="Download the runs shown as CSV").click()
    with open(got.value.path()) as file:
        lines = list(csv.DictReader(file))
    assert [float(line["loss"]) for line in lines] == sorted(runs.loss[passing])


def test_figures_download_as_they_are_seen(visit, html):
    page = visit(html)
    with page.expect_download() as got:
        page.locator("#frontier").get_by_role("button", name="Download as SVG").click()
    drawn = got.value.path().read_text()
    assert drawn.startswith("<svg") and "Optimal tokens" in drawn and "var(" not in drawn
    with page.expect_download() as got:
        page.locator("#law").get_by_role("button", name="Download as PNG").click()
    assert got.value.path().read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_a_keyboard_goes_from_run_to_run(visit, html):
    page = visit(html)
    page.locator("#valleys svg").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert page.locator("#tip").is_visible() and page.locator("tr.marked").count() == 1


def test_a_box_and_a_legend_leave_out_what_is_not_asked_for(visit, html):
    page = visit(html)
    keys = page.locator("#valleys .key")
    keys.first.click()
    assert page.locator("#valleys g.dots.off").count() == 1 and keys.count() == 4
    box = page.locator("#valleys svg").bounding_box()
    before = page.locator("#valleys .axes").inner_html()
    page.mouse.move(box["x"] + 150, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + 300, box["y"] + 200, steps=3)
    page.mouse.up()
    assert page.locator("#valleys .axes").inner_html() != before
    page.locator("#valleys").get_by_role("button", name="Show the whole figure again").click()
    assert page.locator("#valleys .axes").inner_html() == before


def test_all_runs_are_printed_on_white_no_wider_than_the_paper(visit, html, runs):
    page = visit(html, color_scheme="dark", viewport={"width": 760, "height": 1000})
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator(".scroll tr[data-row]").count() == len(runs)
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == "rgb(255, 255, 255)" and page.evaluate("document.body.scrollWidth") <= 760


def test_figures_and_words_stand_without_a_script(visit, html):
    page = visit(html, java_script_enabled=False)
    assert page.locator("#valleys circle").first.is_visible() and page.locator("#law text").count() > 10
    assert page.get_by_text("Ten times the compute").first.is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_marks_and_text_stand_out_from_the_paper(visit, html, scheme):
    """WCAG 2: 4.5:1 for text, 3:1 for marks, in both schemes."""
    page = visit(html, color_scheme=scheme)
    names = [*(f"r{i}" for i in range(12)), *(f"m{i}" for i in range(4)), "ink", "soft", "warn"]
    paper, tint, *colours = page.evaluate(
        "names => names.map(n => getComputedStyle(document.body).getPropertyValue('--' + n).trim())",
        ["bg", "tint", *names],
    )
    for name, colour in zip(names, colours, strict=True):
        least = 4.5 if name in ("ink", "soft", "warn") else 3.0
        assert contrast(colour, paper) >= least, name
    assert contrast(colours[-2], tint) >= 4.5


def contrast(one: str, other: str) -> float:
    def light(colour: str) -> float:
        digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
        parts = np.array([int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)])
        parts = np.where(parts <= 0.03928, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return float(parts @ [0.2126, 0.7152, 0.0722])

    low, high = sorted((light(one), light(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("width", [360, 1600])
def test_a_page_is_no_wider_than_what_shows_it(visit, html, width):
    page = visit(html, viewport={"width": width, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_names_from_outside_do_nothing(visit, runs):
    columns = {name: runs.column(name) for name in ("budget", "params", "tokens", "flops", "loss")}
    columns["run_id"] = np.array([f"{EVIL}{i}" for i in range(len(runs))], object)
    columns[EVIL] = np.array([f"={EVIL}{i}" for i in range(len(runs))], object)
    hostile = table.from_columns(EVIL, **columns)
    iso = frontiers.find_optima(hostile)
    front = frontiers.from_isoflop(iso)
    words = {"title": EVIL, "intro": EVIL, "notes": [EVIL], "references": {EVIL: 2.2}}
    page = visit(report.page(hostile, isoflop=iso, frontiers=[front], **words))
    assert page.title() == EVIL.replace("\u202e", "\\u202e")
    assert page.locator("script").count() == 2 and page.locator("img").count() == 0
    dot = page.locator("#valleys circle").first
    dot.hover(force=True)
    assert EVIL.replace("\u202e", "\\u202e") in page.locator("#tip").inner_text()
    assert "<script>document.title" in page.locator(".scroll tbody").inner_text()
    assert "\u202e" not in page.locator("body").inner_text()


def test_ten_thousand_runs_are_all_there_and_three_hundred_are_drawn_at_once(visit):
    page = visit(report.page(many(10_000, settings=3), title="many"))
    assert page.locator("#runs .soft").inner_text() == "10000 of 10000 runs"
    assert page.locator("tbody tr").count() < 100
    page.locator(".scroll").evaluate("scroll => scroll.scrollTo(0, scroll.scrollHeight)")
    page.wait_for_selector("tr[data-row='9999']")
    page.get_by_role("searchbox").fill("run-9998")
    assert page.locator("tr[data-row='9998']").is_visible()
    few = many(300)
    fitted = fit(Chinchilla, few)
    whole = report.page(few, title="x", fit=fitted, frontiers=[frontiers.from_fit(fitted)])
    assert len(whole.encode()) < 600_000
    assert seconds_taken(visit, whole) < 0.5


def seconds_taken(visit, html: str) -> float:
    """Until a page stands."""
    page = visit(html)
    return busy_seconds(page, page.reload, fresh=True)


def busy_seconds(page, act, fresh: bool = False) -> float:
    """Processor seconds of a page while something is done, whatever else the machine does; of one
    that begins `fresh` none were before."""
    tools = page.context.new_cdp_session(page)
    tools.send("Performance.enable", {"timeDomain": "threadTicks"})

    def total() -> float:
        metrics = tools.send("Performance.getMetrics")["metrics"]
        return next(each["value"] for each in metrics if each["name"] == "TaskDuration")

    before = total()
    act()
    return total() - before * (not fresh)


def test_a_watched_page_comes_again_with_what_was_asked_of_it(browser, html):
    state = {"summary": "1/2 runs done", "cost": "so far 1", "heads": ["run", "part"]}
    board = SimpleNamespace(name=EVIL, page=html, version=1, state=state | {"running": [[EVIL, 0.5]]})
    server = watch.serve(board)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    context, troubles = browser.new_context(), []
    page = context.new_page()
    page.on("console", lambda message: troubles.append(message.text))
    own = server.address
    page.on("request", lambda asked: asked.url.startswith(own) or troubles.append(asked.url))
    page.goto(own)
    frame = page.frame_locator("#page")
    frame.get_by_role("searchbox").fill("seed=0")
    assert EVIL in page.locator("#running td").first.inner_text() and page.title() == EVIL
    board.page, board.version = html.replace("<h1>A grid", "<h1>A grown grid"), 2
    frame.get_by_role("heading", name="A grown grid").wait_for()
    assert frame.get_by_role("searchbox").input_value() == "seed=0"
    assert not troubles
    server.shutdown()
    server.server_close()
    page.get_by_text("lab watch has ended").wait_for()
    context.close()


@pytest.fixture(scope="module")
def planner(runs):
    fitted = fitting.resample(fit(Chinchilla, table.read(QUICKSTART)), 1000)
    return planners.page(planners.data_of(fitted, frontiers.fit_cost(fitted.runs)), "a <b>table</b>")


def test_a_slider_moves_the_plan_at_once_and_the_address_holds_it(visit, planner):
    page = visit(planner, "#budget=1e13&serve=1e9&rate=1e11&price=2")
    first = page.locator("#answer").inner_text()
    assert "Train" in first and "money" in page.locator("#rows").inner_text()
    move = """() => [...Array(20).keys()].forEach(i => {
        const slide = document.getElementById("slide"); slide.value = 300 + 20 * i;
        slide.dispatchEvent(new Event("input", { bubbles: true })); })"""
    assert busy_seconds(page, lambda: page.evaluate(move)) / 20 < 0.05  # a move
    assert page.locator("#answer").inner_text() != first
    asked = page.evaluate("location.hash")
    budget = page.locator("[name=budget]").input_value()
    assert (
        f"budget={float(budget):.3g}".replace("e+", "e").split("e")[0] in asked
        and "serve=1000000000" in asked
    )
    said = page.locator("#answer").inner_text()
    page.reload()
    assert page.locator("#answer").inner_text() == said


def test_a_table_pasted_into_the_planner_is_fitted_and_a_plan_copied(visit, planner):
    page = visit(planner)
    page.locator("summary").click()
    page.locator("#table").fill("params,tokens,loss\n1e6,1e8,3\n")
    page.get_by_text("Refused: 1 usable runs").wait_for()
    text = QUICKSTART.read_text()
    page.locator("#table").fill(text)
    page.get_by_text("From 46 runs of the table below").wait_for()
    page.locator("#fitted", has_text=re.compile(r"^L = [^;]*$")).wait_for()
    found = fit(Chinchilla, table.read(QUICKSTART)).parameters
    for name in ("E", "A", "alpha"):
        assert f"{found[name]:.5g}".rstrip("0") in page.locator("#fitted").inner_text()
    page.get_by_role("button", name="Copy as a grid for lab").click()
    page.get_by_text("save it as plan.py").wait_for()
    compile(page.locator("#grid").inner_text(), "plan.py", "exec")


def test_200_random_questions_have_one_answer_in_the_planner_and_from_decide(visit, planner):
    """`decide` at the full law, without its draws: those are compared in tests/test_planner.py."""
    page = visit(planner)
    law, cost = fit(Chinchilla, table.read(QUICKSTART)).law, frontiers.fit_cost(table.read(QUICKSTART))
    rng, asked = np.random.default_rng(1), []
    for i in range(200):
        kind = {"budget": 10 ** rng.uniform(11, 20)} if i % 2 else {"loss": law.E + rng.uniform(0.02, 1)}
        asked.append(kind | {"serve": 10 ** rng.uniform(5, 9) if i % 3 == 0 else 0})
    said = page.evaluate("all => all.map(q => plan({ ...data, draws: [] }, q))", asked)
    for question, ours in zip(asked, said, strict=True):
        make = plans.optimum if "budget" in question else plans.cheapest
        best = make(law, cost, question.get("budget") or question["loss"], question["serve"])
        for name in ("params", "tokens", "loss", "flops"):
            assert ours[name][0] == pytest.approx(float(getattr(best, name)), rel=1e-4), question


def many(count: int, settings: int = 15):
    rng = np.random.default_rng(0)
    params, tokens = np.exp(rng.uniform(11, 18, count)), np.exp(rng.uniform(14, 20, count))
    loss = TRUTH.loss(params, tokens) * np.exp(0.003 * rng.normal(size=count))
    names = np.array([f"run-{i}" for i in range(count)], object)
    further = {f"setting_{i}": rng.normal(size=count) for i in range(settings)}
    return table.from_columns("many", run_id=names, params=params, tokens=tokens, loss=loss, **further)


def test_a_press_on_the_atlas_shows_one_step_and_its_figure(browser):
    troubles = []
    page = browser.new_page()
    page.on("console", lambda message: troubles.append(message.text))
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.goto(atlas.PAGE.as_uri())
    assert page.locator("article:visible").count() == 0
    page.click("td a >> text=Muon")
    page.locator("article.shown").wait_for()  # the address changes first, and tells the page later
    assert page.locator("article:visible").count() == 1
    picture = page.locator("article:visible img")
    picture.wait_for()
    page.wait_for_function("() => document.querySelector('article.shown img').naturalWidth > 0")
    page.click("text=all of them")
    page.locator("article:not(.shown)").first.wait_for()
    assert page.locator("article:visible").count() == len(atlas.steps()) and not troubles
    page.close()
