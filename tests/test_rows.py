"""Which rows and columns a number is from: states, units, headers of trackers, rows of one run."""

import json

import numpy as np
import pytest

from analysis.__main__ import main
from analysis.fitting import fit, intervals, rows_share_runs
from analysis.laws import Chinchilla
from analysis.tables import budgets, table
from analysis.tables.identity import best_of, final_rows, lost_runs

TRUTH = Chinchilla(1.8, 300.0, 900.0, 0.34, 0.36)


def grid(sizes=5, lengths=5, noise=1e-3, seed=0, repeat=1):
    """Columns of a clean factorial table."""
    n, d = (m.ravel() for m in np.meshgrid(np.geomspace(1e6, 1e8, sizes), np.geomspace(1e8, 1e10, lengths)))
    n, d = np.repeat(n, repeat), np.repeat(d, repeat)
    loss = TRUTH.loss(n, d) * np.exp(noise * np.random.default_rng(seed).standard_normal(n.size))
    return {"params": n, "tokens": d, "loss": loss}


def text(*values):
    return np.array(values, object)


@pytest.mark.parametrize(
    ("header", "good", "bad"),
    [
        ("State", "finished", "crashed"),
        ("run_state", "FINISHED", "KILLED"),
        ("JobState", "COMPLETED", "CANCELLED by 1042"),
        ("JobState", "COMPLETED", "OUT_OF_MEMORY"),
        ("state", "TrialState.COMPLETE", "TrialState.PRUNED"),
        ("trial_status", "TERMINATED", "ERROR"),
        ("Status", "Succeeded", "In Progress"),
        ("info/outcome", "success", "early-stopped"),
        ("diverged", "False", "True"),
        ("finished", "yes", "no"),
        ("ExitCode", "0:0", "137:0"),
    ],
)
def test_a_row_whose_state_is_no_end_is_flagged(header, good, bad):
    columns = {**grid(), header: text(*[good] * 20, *[bad] * 5)}
    assert [row for row, why in table.from_columns(**columns).dropped() if header in why] == list(
        range(21, 26)
    )


@pytest.mark.parametrize(
    ("header", "values"),
    [
        ("state", ("TX", "CA")),
        ("random_state", (0, 1)),
        ("optimizer_state", ("adam", "sgd")),
        ("Status", (1, 2)),
    ],
)
def test_a_column_that_only_looks_like_a_state_keeps_all_rows(header, values):
    columns = {
        **grid(),
        header: np.array([*values, *[values[0]] * 23], object if values[0] == "TX" else None),
    }
    assert not table.from_columns(**columns).dropped()


@pytest.mark.parametrize(
    ("role", "header"),
    [
        ("params", "params.n_params"),
        ("params", "user_attrs_n_params"),
        ("params", "num_parameters"),
        ("params", "config.model.num_params"),
        ("tokens", "metrics.tokens"),
        ("tokens", "user_attrs_tokens"),
        ("tokens", "num_input_tokens_seen"),
        ("flops", "total_flos"),
        ("flops", "summary/total_flops"),
        ("loss", "metrics.val_loss"),
        ("loss", "summary.eval/loss"),
        ("loss", "Validation Loss"),
        ("loss", "value"),
    ],
)
def test_headers_of_trackers_play_their_roles(role, header):
    runs = table.from_columns(**{header: np.ones(3)}, other=np.ones(3))
    assert runs.roles[role] == header


@pytest.mark.parametrize(
    "held_out", ["val_loss", "eval/loss", "Test Loss", "metrics.validation_loss", "val_bpb"]
)
@pytest.mark.parametrize("training", ["train_loss", "train/loss", "training_loss"])
def test_a_held_out_loss_comes_before_a_training_loss(held_out, training):
    runs = table.from_columns(**{training: np.ones(3), held_out: np.full(3, 2.0)})
    assert (runs.loss == 2).all() and f"(not {training})" in " ".join(runs.notes)


def test_a_held_out_loss_comes_before_one_that_does_not_say():
    runs = table.from_columns(loss=np.ones(3), val_loss=np.full(3, 2.0))
    assert (runs.loss == 2).all() and "loss = column val_loss (not loss)" in runs.notes


@pytest.mark.parametrize(
    ("header", "unit"),
    [
        ("val_bpc", "bits/char"),
        ("bits_per_character", "bits/char"),
        ("wiki_bpb", "bits/byte"),
        ("nats_per_token", "nats/token"),
        ("loss (bits)", "bits/token"),
        ("loss (nats/token)", "nats/token"),
        ("error_rate", "a share of errors"),
        ("loss", "the table's own unit (it states none)"),
        ("cross_entropy", "the table's own unit (it states none)"),
    ],
)
def test_a_unit_is_that_of_the_header_or_none(header, unit):
    assert table.from_columns(**{header: np.full(3, 1.5)}).loss_unit == unit


def test_a_perplexity_is_turned_into_nats_and_tells_the_unit_of_its_loss():
    columns = grid()
    loss = columns.pop("loss")
    runs = table.from_columns(**columns, val_ppl=np.exp(loss))
    np.testing.assert_allclose(runs.loss, loss)
    assert runs.loss_unit == "nats/token" and "loss = ln of column val_ppl" in runs.notes
    beside = table.from_columns(**columns, eval_loss=loss, perplexity=np.exp(loss))
    assert beside.loss_unit.startswith("nats/token") and beside.roles["loss"] == "eval_loss"
    other = table.from_columns(**columns, eval_loss=loss, perplexity=2.0**loss)
    assert "nats" not in other.loss_unit


def test_a_measure_that_rises_is_taken_as_errors_or_refused(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(
        "compute,acc,elo\n" + "".join(f"{10.0**i},{i / 10},{100 * i - 250}\n" for i in range(1, 9))
    )
    runs = table.read(path, x="compute", y="acc")
    np.testing.assert_allclose(runs.column("y"), 1 - np.arange(1, 9) / 10)
    assert runs.loss_unit == "a share of errors" and any("as acc rises" in note for note in runs.notes)
    with pytest.raises(ValueError, match="elo runs from -150 to 550: a measure that rises"):
        table.read(path, x="compute", y="elo")
    for percent in ("", " %"):  # of the header or of the cells, it counts once
        path.write_text(
            "compute,pass_rate (%)\n" + "".join(f"{10.0**i},{i / 10}{percent}\n" for i in range(9))
        )
        runs = table.read(path, x="compute", y="pass_rate (%)")
        np.testing.assert_allclose(runs.column("y"), 1 - np.arange(9) / 1000)


@pytest.mark.parametrize(
    "header",
    [
        "config.lr",
        "LR",
        "Learning Rate",
        "train.lr",
        "params/lr",
        "params_lr",
        "optim.peak_lr",
        "global_batch_size",
    ],
)
def test_a_setting_of_any_spelling_is_a_rival_in_its_cell(header):
    columns = grid(repeat=2)
    lines = table.from_columns(**columns, **{header: np.tile([1e-3, 2e-3], 25)}).cautions
    assert len(lines) == 1 and f"25 cells hold several values of {header}" in lines[0]
    assert "--best-of cell" in lines[0]


@pytest.mark.parametrize(
    "header",
    ["train_set", "Dataset", "upstream_dataset", "arch", "config.model_type", "ctx_len", "block_size"],
)
def test_a_mixture_is_named_whatever_the_spelling_of_its_column(header):
    lines = table.from_columns(**grid(), **{header: text(*["a"] * 12, *["b"] * 13)}).cautions
    assert len(lines) == 1 and f"2 values of {header} (a, b)" in lines[0]


def test_what_stands_in_brackets_tells_columns_of_one_name_apart():
    columns = grid()
    loss = columns.pop("loss")
    runs = table.from_columns(**columns, **{"loss (train)": loss / 2, "loss (val)": loss})
    assert runs.roles["loss"] == "loss (val)" and not runs.cautions
    two = table.from_columns(**columns, **{"loss (c4)": loss, "loss (wiki)": loss})
    with pytest.raises(ValueError, match="2 columns may be the loss"):
        two.column("loss")
    hours = table.from_columns(params=columns["params"], loss=loss, **{"Compute (GPU-hours)": loss})
    with pytest.raises(ValueError, match="says 'GPU-hours', which is no unit or kind of flops"):
        hours.column("tokens")


@pytest.mark.parametrize("total", ["total_params", "Params (total)", "params"])
def test_active_params_are_those_that_cost(total):
    n = grid()["params"]
    columns = {**grid(), total: 8 * n, "active_params": n}
    np.testing.assert_array_equal(table.from_columns(**columns).params, n)
    columns["active_params"] = np.where(np.arange(n.size) < 5, np.nan, n)  # of experts alone: all rows stay
    assert not table.from_columns(**columns).dropped()


@pytest.mark.parametrize(("column", "word"), [("model", "Total"), ("seed", "mean"), ("", "std")])
def test_a_row_that_sums_up_others_is_no_run(column, word, tmp_path):
    columns, path = grid(), tmp_path / "t.csv"
    rows = zip(*columns.values(), strict=True)
    body = "".join(f"{i},{n},{d},{y}\n" for i, (n, d, y) in enumerate(rows))
    path.write_text(f"{column},params,tokens,loss\n{body}{word},3e9,5e11,70\n")
    runs = table.read(path)
    assert [row for row, why in runs.dropped() if word in why and "sums up other rows" in why] == [26]
    pooled = table.from_columns(**columns, pooling=text(*["max", "mean"] * 12, "mean"))
    assert not pooled.dropped()


def test_rows_of_runs_that_have_an_end_are_no_lost_runs():
    columns = checkpoints("run_name")
    runs = final_rows(table.from_columns(**columns))
    assert len(runs.dropped()) == 36 and not lost_runs(runs)
    state = text(*["finished"] * 48)
    state[3], state[4] = "crashed", "crashed"  # the last of a run; of another a point before its end
    found = lost_runs(table.from_columns(**columns, state=state, progress=np.tile([0.25, 0.5, 0.75, 1], 12)))
    assert not found  # rows before it are used still
    found = lost_runs(final_rows(table.from_columns(**columns, state=np.repeat(state[3:15], 4))))
    assert [row for row, _ in found] == [4, 8]
    best = best_of(table.from_columns(**grid(repeat=2), lr=np.tile([1.0, 2], 25)), "cell")
    assert len(best.dropped()) == 25 and not lost_runs(best)


def test_tokens_that_are_not_those_of_the_steps_are_a_caution():
    columns, batch = grid(), np.full(25, 512.0)
    steps = columns["tokens"] / 512 / 64  # batches of 64 tokens a sequence: that is of all alike
    assert not table.from_columns(**columns, steps=steps, batch_size=batch).cautions
    steps[[3, 4]] *= 0.5
    (line,) = table.from_columns(**columns, steps=steps, batch_size=batch).cautions
    assert "tokens of 2 of 25 rows are 2 times what steps × batch_size make" in line
    assert not table.from_columns(**columns, steps=steps[::-1] ** 0.5, batch_size=batch).cautions


def test_rows_of_exports_that_overlap_count_once(tmp_path):
    rows = [f"r{i},{n},{d},{y}\n" for i, (n, d, y) in enumerate(zip(*grid().values(), strict=True))]
    for name, part in (("a.csv", rows[:15]), ("b.csv", rows[10:])):
        (tmp_path / name).write_text("run_name,params,tokens,loss\n" + "".join(part))
    runs = table.read(tmp_path)
    assert len(runs.usable()) == 25 and len(runs) == 30


def test_one_run_exported_twice_is_one_and_two_that_end_alike_to_a_few_digits_are_two():
    twice = {name: np.tile(values, 2) for name, values in grid().items()}
    clock = {"_runtime": np.arange(50.0), "host": text(*["a"] * 25, *["b"] * 25)}
    runs = table.from_columns(**twice, **clock)
    assert len(runs.usable()) == 25 and "in all but when and where it ran" in runs.dropped()[0][1]
    assert len(table.from_columns(**twice, **clock, seed=np.repeat([0.0, 1], 25)).usable()) == 50
    twice["loss"] = twice["loss"].round(3)
    assert len(table.from_columns(**twice, **clock).usable()) == 50


def test_percents_of_errors_are_said_and_mixed_ones_refused():
    columns = grid()
    share = columns.pop("loss") / 10
    cells = text(*[f"{100 * each:.3f} %" for each in share])
    runs = table.from_columns(**columns, error=cells)
    np.testing.assert_allclose(runs.loss, share, rtol=1e-3)
    assert runs.loss_unit == "a share of errors"
    for header, values in (("error (%)", 100 * share), ("error_rate", 100 * share)):
        assert table.from_columns(**columns, **{header: values}).loss_unit == "percent of errors"
    with pytest.raises(ValueError, match="states no unit"):
        table.from_columns(**columns, error=text(*cells[:-1], "0.3"))


def test_epochs_in_cells_of_equal_tokens_are_named_and_names_of_runs_are_not():
    cells = grid(repeat=2)
    lines = table.from_columns(**cells, n_epochs=np.tile([1.0, 4], 25)).cautions
    assert len(lines) == 1 and "differ in n_epochs (1, 4)" in lines[0]
    names = text(*[f"n{i}" for i in range(25)])
    assert not table.from_columns(**grid(), experiment=names).cautions


def test_a_training_loss_alone_is_a_caution():
    columns = grid()
    runs = table.from_columns(**{"train/loss" if name == "loss" else name: v for name, v in columns.items()})
    assert len(runs.cautions) == 1 and "train/loss is a training loss" in runs.cautions[0]


def test_a_column_of_an_invented_name_that_differs_in_a_cell_is_named():
    columns = {
        **grid(repeat=2),
        "seed": np.tile([0, 1], 25),
        "wall_time": np.random.default_rng(0).random(50),
    }
    assert not table.from_columns(**columns).cautions
    lines = table.from_columns(**columns, frobnication=np.tile([3, 8], 25)).cautions
    assert len(lines) == 1 and "25 of 25 cells" in lines[0] and "frobnication (3, 8" in lines[0]


def test_a_column_that_parts_the_residuals_is_named_with_its_p():
    rng = np.random.default_rng(1)
    columns = grid(7, 7, noise=2e-3)
    zorp = rng.choice(["u", "v"], 49).astype(object)
    width = np.round(np.sqrt(columns["params"]))
    assert not fit(Chinchilla, table.from_columns(**columns, zorp=zorp, d_model=width)).cautions
    mixed = {**columns, "loss": columns["loss"] * np.where(zorp == "u", 1.02, 1)}
    lines = fit(Chinchilla, table.from_columns(**mixed, zorp=zorp, d_model=width)).cautions
    assert (
        len(lines) == 1 and "zorp (p = " in lines[0] and "--by zorp" in lines[0] and "d_model" not in lines[0]
    )


def checkpoints(name, sizes=12, seed=0):
    """Columns of runs of which each stands in 4 rows that share its luck."""
    rng = np.random.default_rng(seed)
    n = np.repeat(np.geomspace(1e6, 1e9, sizes), 4)
    d = np.repeat(10 ** rng.uniform(9, 11, sizes), 4) * np.tile([0.25, 0.5, 0.75, 1], sizes)
    ids = text(*[f"r{i}" for i in np.repeat(np.arange(sizes), 4)])
    loss = TRUTH.loss(n, d) * np.exp(np.repeat(0.01 * rng.standard_normal(sizes), 4))
    return {"params": n, "tokens": d, "loss": loss, name: ids}


@pytest.mark.parametrize("name", ["run_name", "Run", "config.run_name", "trial_id", "id"])
def test_rows_before_the_end_of_their_run_are_kept_out(name):
    runs = final_rows(table.from_columns(**checkpoints(name)))
    assert runs.usable().rows.tolist() == list(range(4, 49, 4))
    assert {why for _, why in runs.dropped()} == {f"before the end of its run ({name})"}
    constant = final_rows(table.from_columns(**checkpoints(name), lr_schedule=text(*["constant"] * 48)))
    assert not constant.dropped()


@pytest.mark.parametrize(
    "columns",
    [
        {"progress": np.tile([0.5, 1.0], 25)},
        {"percent_complete": np.tile([50, 100.0], 25)},
        {"step": np.tile([500, 1000], 25), "max_steps": np.full(50, 1000)},
        {"global_step": np.tile([500, 1000], 25), "config.total_steps": np.full(50, 1000)},
    ],
)
def test_a_share_of_a_run_is_no_run(columns):
    runs = final_rows(table.from_columns(**grid(repeat=2), **columns))
    assert [row for row, why in runs.dropped() if "before the end" in why] == list(range(1, 50, 2))
    assert not final_rows(table.from_columns(**grid(), progress=np.geomspace(0.1, 0.3, 25))).dropped()


@pytest.mark.parametrize("name", ["run_name", "Run", "name", "model"])
def test_rows_of_one_run_are_resampled_together_whatever_its_column_is_called(name):
    columns = checkpoints(name, 24)
    if name == "model":  # tells its runs only together with their schedule
        columns["model"] = text(*[f"m{i}" for i in np.repeat(np.arange(24) // 2, 4)])
        columns["params"] = np.repeat(columns["params"][::8], 8)
        columns["schedule"] = text(*np.tile(np.repeat(["cosine-a", "cosine-b"], 4), 12))
        rng = np.random.default_rng(0)
        luck = np.exp(np.repeat(0.01 * rng.standard_normal(24), 4))
        columns["loss"] = TRUTH.loss(columns["params"], columns["tokens"]) * luck
    fitted = fit(Chinchilla, table.from_columns(**columns), objective="ls-log")
    assert intervals(fitted, resamples=20).intervals == "cluster"
    assert len(np.unique(rows_share_runs(fitted)[1].astype(str))) == 24
    alone = fit(Chinchilla, table.from_columns(**grid(6, 6), name=text(*["a", "b", "c"] * 12)))
    assert rows_share_runs(alone) is None


def test_the_best_run_of_each_cell_can_be_kept():
    columns = grid(repeat=3)
    runs = table.from_columns(**columns, lr=np.tile([1.0, 2, 3], 25))
    best = best_of(runs, "cell").usable()
    np.testing.assert_array_equal(best.loss, columns["loss"].reshape(25, 3).min(1))
    assert not best.cautions
    assert len(best_of(runs, "params").usable()) == 5
    with pytest.raises(ValueError, match="no column for size"):
        best_of(runs, "size")


def test_a_filled_column_beats_a_sparse_one():
    columns = grid()
    sparse = np.where(np.arange(25) < 3, 1.0, np.nan)
    runs = table.from_columns(
        params=sparse, n_params=columns["params"], tokens=columns["tokens"], loss=columns["loss"]
    )
    assert runs.roles["params"] == "n_params" and not runs.dropped()
    few = np.where(np.arange(25) < 10, columns["loss"], np.nan)
    runs = table.from_columns(
        params=columns["params"], tokens=columns["tokens"], val_loss=few, train_loss=columns["loss"]
    )
    assert runs.roles["loss"] == "val_loss"  # evaluated less often than logged


def test_an_empty_count_follows_from_the_other_two_and_drops_no_row():
    columns = grid()
    flops = 7 * columns["params"] * columns["tokens"]
    tokens = np.where(np.arange(25) == 4, np.nan, columns["tokens"])
    runs = table.from_columns(
        **{**columns, "tokens": tokens, "flops": np.where(np.arange(25) < 9, flops, np.nan)}
    )
    assert len(runs.usable()) == 25 and any("in 16 rows that leave them empty" in note for note in runs.notes)
    np.testing.assert_allclose(runs.flops, flops)
    np.testing.assert_allclose(runs.tokens, columns["tokens"])


def test_a_column_that_the_law_does_not_use_drops_no_row(tmp_path, capsys):
    path = tmp_path / "t.csv"
    rows = [f"{10.0**i},{'' if i % 2 else 10.0 ** (i + 2)},{2 + 9 * 10 ** (-0.3 * i)}" for i in range(1, 9)]
    path.write_text("params,tokens,loss\n" + "\n".join(rows) + "\n")
    assert main(["fit", str(path), "--law", "power", "--x", "params", "--y", "loss"]) == 0
    assert "8 used, 0 flagged" in capsys.readouterr().out


def test_budgets_that_are_not_the_flops_are_a_caution_and_group_nothing():
    columns = grid(6, 4)
    stale = np.tile([1e15, 2e15, 3e15, 4e15], 6)
    runs = table.from_columns(**columns, budget=stale)
    assert any("budget is over 10 % off the flops of" in line for line in runs.cautions)
    with pytest.raises(ValueError, match="budget is no budget: rows of one have flops up to"):
        budgets.group(runs, None, [])
    flops = 6 * columns["params"] * columns["tokens"]
    true = table.from_columns(
        **columns, budget=np.round(flops, -14) + 1e14, flops=np.round(flops, -14) + 1e14
    )
    assert not [line for line in true.cautions if "budget" in line]


def test_losses_listed_beside_the_rates_tried_are_a_row_each_and_curves_are_named(tmp_path):
    path = tmp_path / "t.jsonl"
    lines = [{"params": n, "tokens": 1e9, "losses": [3.2, 3.0, 3.1], "lrs": [1, 2, 4]} for n in (1e6, 1e7)]
    path.write_text("\n".join(map(json.dumps, lines)))
    runs = table.read(path, loss="losses")
    assert len(runs) == 6 and "2 cells hold several values of lrs" in runs.cautions[0]
    assert best_of(runs, "cell").usable().loss.tolist() == [3.0, 3.0]
    path.write_text("\n".join(json.dumps({**line, "lrs": 1}) for line in lines))
    with pytest.raises(ValueError, match="no column holds the loss in one number; losses hold lists"):
        _ = table.read(path).loss
