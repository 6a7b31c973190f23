"""Sealed predictions: made before the run, kept as they were, and nothing gets around that."""

import csv
import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments import chinchilla2022, prediction
from experiments.reports import forecasts, sealed
from experiments.reports.sealed import SealError
from lab.config import DataConfig
from lab.models import counts
from lab.store import export
from lab.store.store import Store

SHA = "ab" * 32
E, A, B, ALPHA, BETA = 1.5, 40.0, 300.0, 0.35, 0.37


def law(params, tokens):
    return E + A * params**-ALPHA + B * tokens**-BETA


def record(config, loss, **more):
    return {
        "status": "done",
        "steps": config.steps,
        "loss": loss,
        "seconds": 1.0,
        "finished": "2026-01-01T00:00:00Z",
    } | more


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with the table of the smoke grid under a planted law, an empty store and no
    predictions yet; `now` moves the clock."""
    text = DataConfig(sha256=SHA, corpus="text", train_tokens=10**8)
    monkeypatch.setattr(chinchilla2022, "text", lambda size: text)
    monkeypatch.setattr(prediction, "commit", lambda: "c0ffee")
    rng = np.random.default_rng(0)
    rows = []
    for config in chinchilla2022.runs("smoke"):
        params = counts.count_params(config.model).params
        loss = law(params, config.tokens) * np.exp(0.002 * rng.standard_normal())
        rows.append(export.row(config, record(config, float(loss)), "smoke"))
    export.write(rows, tmp_path / "runs.csv")
    return tmp_path


def smoke(place):
    return replace(prediction.SOURCES["smoke"], table=place / "runs.csv", beyond=2.0)


def seal(place, **options):
    found = {
        "table": place / "runs.csv",
        "size": "smoke",
        "beyond": 2.0,
        "within": np.inf,
        "store": place / "runs",
        "file": place / "p.csv",
    }
    assert prediction.seal(**found | options) == 0
    return sealed.read(place / "p.csv")


def finish(place, config, loss, **more):
    store = Store(place / "runs")
    store.folder(config.run_id).mkdir(parents=True)
    when = {"finished": "2999-01-01T00:00:00Z"} | more
    store.write_record(config.run_id, record(config, loss) | when)


def test_a_sealed_row_says_all_that_a_reader_needs_and_its_run_is_the_one_trained(place):
    (row,) = seal(place)
    assert (row["kind"], row["number"], row["previous"]) == ("sealed", "1", "0" * 64)
    table = (place / "runs.csv").read_bytes()
    assert row["table_sha256"] == hashlib.sha256(table).hexdigest()
    assert (place / row["table"]).read_bytes() == table, "kept beside the predictions"
    (config,) = prediction.runs(file=place / "p.csv")
    assert config.run_id == row["run_id"] and row["data_sha256"] == config.data.sha256 == SHA
    assert float(row["budget"]) == 2 * max(chinchilla2022.SIZES["smoke"].budgets)
    assert counts.run_flops(config) == pytest.approx(float(row["budget"]), rel=0.01)
    truth = law(float(row["params"]), float(row["tokens"]))
    assert float(row["low"]) < truth < float(row["high"])
    assert float(row["predicted"]) == pytest.approx(truth, rel=0.01)
    assert json.loads(row["options"])["objective"] == "huber-log" and row["table_rows"] == "14"


def test_scoring_adds_what_was_measured_and_whether_it_was_inside(place, capsys):
    (row,) = seal(place)
    (config,) = prediction.runs(file=place / "p.csv")
    prediction.score(store=place / "runs", file=place / "p.csv")
    assert len(sealed.read(place / "p.csv")) == 1 and "nothing to score" in capsys.readouterr().out
    measured = 1.02 * float(row["high"])
    finish(place, config, measured)
    for _ in range(2):  # the second time changes nothing
        prediction.score(store=place / "runs", file=place / "p.csv")
    first, result = sealed.read(place / "p.csv")
    assert first == row, "the sealed row stays as it was"
    assert result["inside"] == "no" and float(result["measured"]) == measured
    assert float(result["error"]) == pytest.approx(measured / float(row["predicted"]) - 1)
    assert result["previous"] == row["sha256"]
    assert "OUTSIDE" in capsys.readouterr().out
    assert prediction.check(file=place / "p.csv") == 0


@pytest.mark.parametrize("trace", ["record.json", "claim-0.json", "curve.csv", "failure.json"])
def test_a_run_that_was_begun_is_no_prediction(place, trace):
    made = forecasts.forecast(smoke(place), within=np.inf)
    folder = place / "runs" / made.config.run_id
    folder.mkdir(parents=True)
    (folder / trace).write_text("")
    with pytest.raises(SealError, match=rf"holds {trace} of run {made.config.run_id}"):
        seal(place)
    assert not (place / "p.csv").exists()


def test_what_is_not_beyond_the_table_is_no_prediction(place):
    with pytest.raises(SealError, match="--beyond 1"):
        seal(place, beyond=1.0)


def test_a_table_that_cannot_tell_the_error_asked_for_is_refused_with_the_reason(place):
    with pytest.raises(SealError, match=r"not sealed, for .* over the 0.01 % asked for"):
        seal(place, within=1e-4)
    assert not (place / "p.csv").exists()
    (row,) = seal(place, law="joint")
    assert row["law"] == "Joint" and json.loads(row["options"])["within"] == "inf"


def test_a_prediction_is_made_once(place, capsys):
    seal(place)
    with pytest.raises(SealError, match="a prediction is made once"):
        seal(place)
    assert len(seal(place, unless_sealed=True)) == 1
    assert len(seal(place, beyond=2.5)) == 2, "another budget is another prediction"


def test_the_table_s_own_runs_and_other_data_are_refused(place, monkeypatch):
    run_id = forecasts.forecast(smoke(place), within=np.inf).config.run_id
    text = (place / "runs.csv").read_text()
    first = text.splitlines()[1].split(",")[0]
    (place / "known.csv").write_text(text.replace(first, run_id))
    with pytest.raises(SealError, match="its loss is known"):
        seal(place, table=place / "known.csv")
    other = DataConfig(sha256="cd" * 32, corpus="text", train_tokens=10**8)
    monkeypatch.setattr(chinchilla2022, "text", lambda size: other)
    with pytest.raises(SealError, match="a law of one text says nothing of another"):
        seal(place)


def test_clocks_that_run_backward_are_refused(place):
    seal(place)
    with pytest.raises(SealError, match="set the clock"):
        sealed.append(place / "p.csv", {"kind": "sealed"}, now=1e9)
    text = (place / "runs.csv").read_text().replace("2026-01-01T", "2999-01-01T")
    (place / "runs.csv").write_text(text)
    with pytest.raises(SealError, match="finished at 2999"):
        seal(place, beyond=2.5)


def test_a_run_that_began_before_its_seal_is_not_scored(place):
    seal(place)
    (config,) = prediction.runs(file=place / "p.csv")
    finish(place, config, 2.0, finished=sealed.written(0))
    with pytest.raises(SealError, match="it began before"):
        prediction.score(store=place / "runs", file=place / "p.csv")


def test_a_run_s_training_time_must_fit_after_its_seal(place):
    (row,) = seal(place)
    (config,) = prediction.runs(file=place / "p.csv")
    finish(place, config, 2.0, finished=row["time"], seconds=3600.0)
    with pytest.raises(SealError, match="3600 s of training"):
        prediction.score(store=place / "runs", file=place / "p.csv")


def test_another_table_in_the_kept_one_s_place_is_noticed(place):
    (row,) = seal(place)
    (place / row["table"]).write_text("params,tokens,loss\n")
    with pytest.raises(SealError, match="not the table that row 1 was sealed with"):
        prediction.check(file=place / "p.csv")


ROWS = st.lists(
    st.dictionaries(
        st.sampled_from(sealed.COLUMNS[3:-2]), st.text(st.characters(codec="utf-8", exclude_characters="\r"))
    ),
    min_size=2,
    max_size=5,
)


@settings(max_examples=60, deadline=None)
@given(ROWS, st.data())
def test_an_edited_or_removed_row_is_noticed(tmp_path_factory, new, data):
    path = tmp_path_factory.mktemp("chain") / "p.csv"
    for i, cells in enumerate(new):
        sealed.append(path, cells, now=1e9 + i)
    rows = sealed.read(path)
    assert [{**row, **cells} for row, cells in zip(rows, new, strict=True)] == rows
    with path.open(newline="") as file:
        lines = list(csv.reader(file))
    at = data.draw(st.integers(1, len(new)))
    how = data.draw(st.sampled_from(["edit", "remove", "swap"]))
    if how == "edit":
        column = data.draw(st.integers(0, len(sealed.COLUMNS) - 1))
        lines[at][column] += "1"
    elif how == "remove":
        del lines[min(at, len(new) - 1)]  # any but the last
    else:
        other = at % len(new) + 1
        lines[at], lines[other] = lines[other], lines[at]
    path.write_text("".join(sealed.line(cells) for cells in lines), newline="")
    with pytest.raises(SealError, match=r"row \d"):
        sealed.read(path)


def test_a_torn_file_is_refused(place):
    seal(place)
    text = (place / "p.csv").read_text()
    for damaged in (text[:-5], text[:-1], "", text.replace("kind", "sort", 1)):
        (place / "p.csv").write_text(damaged)
        with pytest.raises(SealError, match="git"):
            sealed.read(place / "p.csv")


def test_a_changed_numerics_is_said_and_not_trained(place, monkeypatch):
    seal(place)
    monkeypatch.setattr("lab.config.run.NUMERICS", 99)
    with pytest.raises(ValueError, match="NUMERICS changed since; train it at commit c0ffee"):
        prediction.runs(file=place / "p.csv")


def test_without_a_prediction_it_says_what_to_do(tmp_path, capsys):
    with pytest.raises(ValueError, match="prediction seal` first"):
        prediction.runs(file=tmp_path / "none.csv")
    assert prediction.main(["seal", "--table", str(tmp_path / "none.csv")]) == 1
    assert "none.csv" in capsys.readouterr().err


def test_the_committed_predictions_are_as_they_were_written():
    rows = sealed.read(prediction.FILE)
    for row in sealed.sealed_rows(rows):
        sealed.check_table(row, prediction.FILE)


def test_the_report_draws_every_prediction(place, monkeypatch):
    seal(place)
    (config,) = prediction.runs(file=place / "p.csv")
    finish(place, config, 2.1)
    prediction.score(store=place / "runs", file=place / "p.csv")
    prediction.report(Store(place / "runs"), place, file=place / "p.csv")
    assert (place / f"prediction-{config.run_id}.png").stat().st_size > 10_000
    assert replace(config, seed=1).run_id != config.run_id
