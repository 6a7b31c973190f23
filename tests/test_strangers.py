"""Exports of other people's: runs named by a word that may name many, words of state in sentences, numbers in
bold, headers behind a prefix that only ends like a tracker's."""

import time

import numpy as np
import pytest

from analysis.laws import Chinchilla
from analysis.tables import table
from analysis.tables.files import load
from analysis.tables.identity import final_rows, run_column

LAW = Chinchilla(1.7, 180.0, 900.0, 0.34, 0.37)
CELLS = [(n, ratio * n) for n in (2e6, 8e6, 3e7) for ratio in (5, 20, 80)]


def curves(**more):
    """Three points of each run, and what names them."""
    at = [(i, n, share * d) for i, (n, d) in enumerate(CELLS) for share in (0.3, 0.6, 1.0)]
    i, n, d = map(np.array, zip(*at, strict=True))
    columns = {name: [naming(k) for k in i] for name, naming in more.items()}
    return table.from_columns(params=n, tokens=d, val_loss=LAW.loss(n, d), **columns)


@pytest.mark.parametrize("name", ["experiment_name", "Job Name", "expId", "hash"])
def test_points_of_a_run_that_an_experiment_names_are_not_runs(name):
    runs = final_rows(curves(**{name: "e{}".format}))
    assert run_column(runs) == name
    assert {*zip(runs.usable().params, runs.usable().tokens, strict=True)} == set(CELLS)


def test_points_of_a_run_that_a_name_beside_steps_names_are_not_runs():
    step = float
    runs = final_rows(curves(Name="gpt-{}".format, Step=step))
    assert run_column(runs) == "Name" and len(runs.usable()) == len(CELLS)
    assert run_column(curves(Name="gpt-{}".format)) == ""
    lengths = curves(name=lambda i: f"gpt-{i}", steps=step)  # a run's own length, which points of curves lack
    assert run_column(lengths) == "" and len(final_rows(lengths).usable()) == 27
    of_sizes = curves(Name=lambda i: f"size{i // 3}", Step=step)  # a model of several runs
    assert run_column(of_sizes) == "" and len(final_rows(of_sizes).usable()) == 27


def test_an_experiment_of_several_runs_names_none():
    for naming in (
        lambda i: f"batch{i // 5}",
        lambda i: f"size{i // 3}",
        lambda i: "" if i else "one",
        lambda i: "",
    ):  # of two sizes; of one, all its runs; of one run alone, the others unnamed; of none
        runs = final_rows(curves(experiment=naming))
        assert run_column(runs) == "" and len(runs.usable()) == 27


def test_words_of_state_may_begin_a_sentence():
    ends = [
        "finished ok",
        "done after 2 restarts",
        "diverged (nan at 3k)",
        "early stopped at 40 %",
        "killed by me",
    ]
    runs = table.from_columns(
        params=[1e6, 2e6, 3e6, 4e6, 5e6], tokens=[1e9] * 5, loss=np.arange(3, 8), result=ends
    )
    assert [reason == "" for reason in runs.reasons] == [True, True, False, False, False]
    kept = table.from_columns(params=[1e6, 2e6], tokens=[1e9] * 2, loss=[3.0, 2.0], result=["blue", "red"])
    assert (kept.reasons == "").all()


def test_rows_that_their_owner_excludes_are_left_out():
    runs = table.from_columns(params=[1e6, 2e6], tokens=[1e9] * 2, loss=[3.0, 2.0], excluded=[0, 1])
    assert list(runs.reasons) == ["", "excluded is true"]


def test_a_word_that_ends_like_a_trackers_is_none():
    names = {"FinalMetric.tokens": [1e9, 2e9], "HyperParameters.num_parameters": [1e6, 2e6]}
    runs = table.from_columns(**names, **{"FinalMetric.validation:loss": [3.0, 2.0]})
    assert runs.roles["tokens"] == "FinalMetric.tokens" and runs.roles["params"].endswith("num_parameters")


def test_bold_numbers_of_markdown_are_numbers(tmp_path):
    path = tmp_path / "r.md"
    path.write_text("| name | loss |\n|---|---|\n| *a* | **2.5** |\n| b_c_d | `3.5` |\n")
    assert load(path).columns == {"name": (" *a* ", " b_c_d "), "loss": (" 2.5 ", " 3.5 ")}


def test_long_words_are_read_as_fast_as_short_ones(tmp_path):
    path, rows = tmp_path / "t.csv", "".join(f"{'m' * 5000}{i},1e6,1e9,{3 - i / 10}\n" for i in range(9))
    path.write_text(f"{'k' * 5000},params,tokens,loss\n{rows}")
    start = time.process_time()
    assert len(table.read(path).usable()) == 9
    assert time.process_time() - start < 1
