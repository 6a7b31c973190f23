from html.parser import HTMLParser

import numpy as np
import pytest

from analysis import fitting, frontiers, report
from analysis.audit import audit_runs
from analysis.fitting import fit
from analysis.laws import Chinchilla
from analysis.report import axes
from analysis.report.table import table_data
from analysis.tables import table
from bench import synthetic

TRUTH = Chinchilla(E=1.2, A=25.0, B=60.0, alpha=0.4, beta=0.36)
VOID = {"meta", "img", "br"}


class Reader(HTMLParser):
    """Collects tags and text, and checks that every tag is closed."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.links, self.text = [], [], [], ""

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [v for k, v in attrs if k in ("src", "href")]
        assert not any(k.startswith("on") for k, _ in attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    assert not reader.open
    return reader


@pytest.fixture(scope="module")
def parts():
    runs = synthetic.isoflop(TRUTH, [8e11, 1.6e12, 3.2e12, 6.4e12], noise=0.003, replicates=2)
    iso = frontiers.find_optima(runs)
    fitted = fitting.resample(fit(Chinchilla, runs), 50)
    return runs, iso, fitted, [frontiers.from_isoflop(iso), frontiers.from_fit(fitted)]


def test_the_page_stands_alone_and_says_what_was_found(parts):
    runs, iso, fitted, fronts = parts
    page = report.page(
        runs,
        title="A grid",
        intro="Small models.",
        fit=fitted,
        isoflop=iso,
        frontiers=fronts,
        notes=["First note."],
        references={"bigram": 2.5},
        command="make run",
    )
    reader = read(page)
    assert reader.tags.count("figure") == 3 and not reader.links
    assert reader.tags.count("script") == 2  # the table's data, and what the page does
    for words in (
        "A grid",
        "Small models.",
        "First note.",
        "make run",
        frontiers.describe_agreement(*fronts),
    ):
        assert words in reader.text
    for run_id in runs.columns["run_id"]:
        assert run_id in reader.text
    for name, value in fitted.parameters.items():
        assert name in reader.text and f"{value:.6g}" in reader.text


def test_columns_of_the_table_have_names_of_their_own_and_ids_stay_whole():
    ids = np.array([12345678, 12345679, 12345680])
    runs = table.from_columns(
        params=[1e6, 2e6, 3e6],
        tokens=[1e8] * 3,
        val_loss=[3.0, 2.9, 2.8],
        loss=[2.5, 2.4, 2.3],
        job_id=ids,
        row=ids,
    )
    columns = {each["name"]: each.get("values") for each in table_data(runs)["columns"]}
    assert len(columns) == len(table_data(runs)["columns"])
    assert columns["loss"] == [3.0, 2.9, 2.8] and columns["loss (as read)"] == [2.5, 2.4, 2.3]
    assert list(columns["job_id"]) == [str(each) for each in ids]


def test_the_same_inputs_give_the_same_page(parts):
    runs, iso, _, fronts = parts
    pages = {report.page(runs, title="x", isoflop=iso, frontiers=fronts) for _ in range(2)}
    assert len(pages) == 1


EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>&amp;$x_"


def test_hostile_names_are_only_text(parts):
    runs = parts[0]
    columns = {name: runs.column(name) for name in ("budget", "params", "tokens", "flops", "loss")}
    columns[EVIL] = np.array([f"{EVIL}{i}" for i in range(len(runs))], object)
    columns["status"] = np.array([EVIL] + ["done"] * (len(runs) - 1), object)
    hostile = table.from_columns(EVIL, **columns)
    iso = frontiers.find_optima(hostile)
    page = report.page(
        hostile,
        title=EVIL,
        intro=EVIL,
        isoflop=iso,
        frontiers=[frontiers.from_isoflop(iso)],
        notes=[EVIL],
        references={EVIL: 2.2},
        command=EVIL,
    )
    reader = read(page)
    assert reader.tags.count("script") == 2 and not {"x", "img"} & {*reader.tags, *reader.links}
    assert reader.text.count("<script>alert(1)</script>") > 5
    assert f"status is {EVIL}" in reader.text


def test_statuses_and_flags_become_warnings(parts):
    runs = synthetic.isoflop(TRUTH, [8e11, 1.6e12, 3.2e12, 6.4e12], centre=25.0).flag(2, "by hand")
    iso = frontiers.find_optima(runs)
    text = read(report.page(runs, title="x", isoflop=iso, frontiers=[frontiers.from_isoflop(iso)])).text
    assert "What to be careful about" in text
    assert "by hand" in text and "is edge" in text


def test_what_is_refused_is_drawn_only_when_asked(parts):
    size = np.geomspace(1e7, 1e9, 9)
    runs = table.from_columns(params=size, tokens=20 * size, loss=TRUTH.loss(size, 20 * size))
    found = fit(Chinchilla, runs)
    assert found.status == "unidentified"
    for each, folded in ((found, True), (parts[2], False)):
        page = report.page(each.runs, title="x", fit=each)
        drawn = page.partition("The parametric law</h2>")[2]
        assert drawn.lstrip().startswith("<details><summary>Not to be relied on") is folded


def test_the_audit_is_a_section_and_its_headline_stands_on_top(parts):
    runs, iso, fitted, fronts = parts
    seen = audit_runs(runs, fitted=fitted, iso=iso, at=[1e15])
    assert seen.verdict == "warn"
    text = read(report.page(runs, title="x", frontiers=fronts, fit=fitted, audit=seen)).text
    assert text.index(seen.headline()) < text.index("The compute-optimal frontier")
    for finding in seen.findings:
        assert finding.code in text and finding.message in text
    assert "Audit" not in read(report.page(runs, title="x", frontiers=fronts)).text


def test_the_page_says_where_the_fits_intervals_are_from(parts):
    runs = parts[0]
    for kind, words in (("profile", "profile likelihood"), ("pairs", "pairs bootstrap")):
        found = fitting.intervals(fit(Chinchilla, runs), kind, 40)
        page = report.page(runs, title="A grid", fit=found)
        assert f"the fitted law's are by {words}." in read(page).text


@pytest.mark.parametrize(("value", "written"), [(1.25e16, "1.25×10¹⁶"), (9.996e17, "10¹⁸"), (3e-5, "3×10⁻⁵")])
def test_a_power_is_written_to_three_digits(value, written):
    assert axes.power(value) == written
