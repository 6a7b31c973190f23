"""From a file to a decision without an option: what trackers, tuners and trainers export of one planted law
gives one fit, whatever the layout; what cannot says which command takes it."""

import csv
import json

import numpy as np
import pytest

from analysis.__main__ import main
from analysis.laws import Chinchilla
from analysis.tables import table

LAW = Chinchilla(E=1.7, A=180.0, B=900.0, alpha=0.34, beta=0.37)
SIZES, RATIOS = np.round(np.geomspace(2e6, 2e8, 4), -3), (4, 15, 60, 200)
CELLS = [(int(n), int(n * ratio)) for n in SIZES for ratio in RATIOS]
WAY = (0.4, 0.7, 1.0)  # of a run, at which its loss is read


def loss(n, d, way=1.0):
    """Of a run of d tokens; on the way, before the rate has fallen, above what a run of that length has."""
    return float(LAW.loss(n, way * d)) * (1 + 0.04 * (1 - way))


def write_csv(path, rows, delimiter=","):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return path


def plain(folder):
    return write_csv(folder / "t.csv", [{"params": n, "tokens": d, "loss": loss(n, d)} for n, d in CELLS])


def german(folder):
    rows = [{"params": n, "tokens": d, "loss": f"{loss(n, d)!r}".replace(".", ",")} for n, d in CELLS]
    return write_csv(folder / "t.csv", rows, ";")


def markdown(folder):
    rows = "".join(f"| {n} | {d} | {loss(n, d)!r} |\n" for n, d in CELLS)
    path = folder / "t.md"
    path.write_text(f"# Runs\n\nAll of them.\n\n| N | D | val loss |\n|--|--|--|\n{rows}\nThe end.\n")
    return path


def by_name(folder):
    runs = {f"r{n}-{d}": {"config": {"n_params": n}, "tokens": d, "eval_loss": loss(n, d)} for n, d in CELLS}
    (folder / "t.json").write_text(json.dumps(runs))
    return folder / "t.json"


def lists(folder):
    rows = [
        {
            "params": n,
            "tokens": d,
            "lrs": [0.01, 0.02, 0.04],
            "loss": [loss(n, d) * by for by in (1.02, 1, 1.03)],
        }
        for n, d in CELLS
    ]
    (folder / "t.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder / "t.jsonl"


def with_bad_rows(folder, state, good, bad, names):
    """A row for every run, and two that did not come to their end."""
    rows = [
        {"when": "2026-01-01", state: good} | dict(zip(names, (n, d, loss(n, d)), strict=True))
        for n, d in CELLS
    ]
    rows += [{**rows[i], state: word, names[2]: 1.2 * rows[i][names[2]]} for i, word in enumerate(bad)]
    return write_csv(folder / "t.csv", rows)


def optuna(folder):
    names = "user_attrs_n_params", "user_attrs_tokens", "value"
    return with_bad_rows(folder, "state", "COMPLETE", ("PRUNED", "FAIL"), names)


def mlflow(folder):
    names = "params.n_params", "metrics.tokens", "metrics.val_loss"
    return with_bad_rows(folder, "status", "FINISHED", ("FAILED", "KILLED"), names)


def wandb_rows(folder):
    names = "config.model.n_params", "tokens_seen", "summary.eval/loss"
    return with_bad_rows(folder, "State", "finished", ("crashed", "running"), names)


def wandb_columns(folder):
    rows = []
    for at in sorted({round(way * d) for _, d in CELLS for way in WAY}):
        row = {"throughput/total_tokens": at}
        for n, d in CELLS:
            name = f"run-{n / 1e6:.6g}M-{d // n}x - eval/loss"
            cell = next((loss(n, d, way) for way in WAY if round(way * d) == at), "")
            row |= {name: cell, f"{name}__MIN": cell, f"{name}__MAX": cell}
        rows.append(row)
    return write_csv(folder / "t.csv", rows)


def trainer_states(folder):
    for n, d in CELLS:
        history = []
        for way in WAY:
            seen = {"step": round(1000 * way), "num_input_tokens_seen": way * d}
            history.append({"loss": loss(n, d, way) - 0.1, "learning_rate": 1e-3 * (1.1 - way), **seen})
            history.append({"eval_loss": loss(n, d, way), **seen})
        history.append({"train_loss": loss(n, d) + 0.3, "train_runtime": 9.0, "step": 1000})
        (path := folder / f"r{n}-{d}").mkdir()
        state = {"global_step": 1000, "total_flos": 6.0 * n * d, "log_history": history}
        (path / "trainer_state.json").write_text(json.dumps(state))
    return folder


def lightning(folder):
    for i, (n, d) in enumerate(CELLS):
        (path := folder / f"version_{i}").mkdir()
        rows = []
        for epoch, way in enumerate(WAY):
            at = {"epoch": epoch, "step": 100 * epoch, "n_params": n, "tokens": way * d}
            rows.append({**at, "train_loss": loss(n, d, way) - 0.1, "val_loss": ""})
            rows.append({**at, "train_loss": "", "val_loss": loss(n, d, way)})
        write_csv(path / "metrics.csv", rows)
    return folder


def sized(n, d):
    return f"gpt-{n / 1e6:.6g}M_{d / 1e6:.6g}Mtok"


def scalar(path, points):
    path.parent.mkdir(exist_ok=True)
    rows = "".join(f"{1.7e9 + step},{step},{value!r}\n" for step, value in points)
    path.write_text("Wall time,Step,Value\n" + rows)


def tensorboard_folders(folder):
    for n, d in CELLS:
        points = [(round(1000 * way), loss(n, d, way)) for way in WAY]
        scalar(folder / sized(n, d) / "val_loss.csv", points)
        scalar(folder / sized(n, d) / "train_loss.csv", [(step, value - 0.1) for step, value in points])
    return folder


def tensorboard_tokens(folder):
    for n, d in CELLS:
        run = f"run-n{n / 1e6:.6g}M_d512_{d // n}-tag-"
        scalar(folder / f"{run}eval_loss.csv", [(round(1000 * way), loss(n, d, way)) for way in WAY])
        scalar(folder / f"{run}tokens_seen.csv", [(round(1000 * way), way * d) for way in WAY])
    return folder


def keras(folder):
    for n, d in CELLS:
        (path := folder / sized(n, d)).mkdir()
        held_out = [loss(n, d, way) for way in WAY]
        history = {"loss": [value - 0.1 for value in held_out], "val_loss": held_out}
        (path / "history.json").write_text(json.dumps(history))
    return folder


def curves_by_file(folder):
    for n, d in CELLS:
        rows = [{"step": round(1000 * way), "val_loss": loss(n, d, way)} for way in WAY]
        write_csv(folder / f"N={n},D={d}.csv", rows)
    return folder


EXPORTS = [
    plain,
    german,
    markdown,
    by_name,
    lists,
    optuna,
    mlflow,
    wandb_rows,
    wandb_columns,
    trainer_states,
    lightning,
    tensorboard_folders,
    tensorboard_tokens,
    keras,
    curves_by_file,
]


@pytest.mark.parametrize("write", EXPORTS)
def test_every_export_of_one_law_gives_that_law(write, tmp_path):
    (folder := tmp_path / "runs").mkdir()
    answer = tmp_path / "answer.json"
    assert main(["fit", str(write(folder)), "--intervals", "none", "--json", str(answer)]) == 0
    fitted = json.loads(answer.read_text())
    assert fitted["status"] == "ok" and fitted["runs"] == len(CELLS)
    rounded = 1e-3 if write is wandb_columns else 1e-4  # sizes as far as the names of runs say them
    if write in (tensorboard_folders, tensorboard_tokens, keras, curves_by_file):
        assert "read from the names of runs" in " ".join(fitted["cautions"])
    for name, ends in fitted["parameters"].items():
        np.testing.assert_allclose(ends["value"], getattr(LAW, name), rtol=rounded)


def test_a_question_that_names_no_budget_is_of_ten_times_the_largest_run(tmp_path, capsys):
    answer = tmp_path / "answer.json"
    assert main(["decide", str(lists(tmp_path)), "--bootstrap", "20", "--json", str(answer)]) == 0
    decided = json.loads(answer.read_text())
    np.testing.assert_allclose(decided["times_largest_run"], 10)
    params, _ = LAW.optimum(10 * 6 * max(n * d for n, d in CELLS))
    np.testing.assert_allclose(decided["answer"]["params"]["value"], params, rtol=1e-3)


def test_all_the_rates_that_a_list_holds_count_where_they_are_asked_for(tmp_path):
    answer = tmp_path / "answer.json"
    path = lists(tmp_path)
    assert main(["rates", str(path), "--json", str(answer)]) == 0
    assert {len(cell["rates"]) for cell in json.loads(answer.read_text())["cells"]} == {3}
    lines = [{**json.loads(line), "seeds": [0, 1, 2]} for line in path.read_text().splitlines()]
    path.write_text("\n".join(json.dumps({k: v for k, v in line.items() if k != "lrs"}) for line in lines))
    main(["fit", str(path), "--intervals", "none", "--json", str(answer)])
    assert json.loads(answer.read_text())["runs"] == 3 * len(CELLS), "the best seed is no better run"


def test_runs_of_equal_file_names_are_told_apart_by_their_folders(tmp_path):
    for n in (1, 2):
        (path := tmp_path / f"n{n}M" / "version_0").mkdir(parents=True)
        write_csv(path / "metrics.csv", [{"epoch": i, "step": i, "val_loss": 3 - i / n} for i in range(1, 3)])
    runs = table.read(tmp_path)
    assert list(dict.fromkeys(runs.column("run_id"))) == ["n1M/version_0", "n2M/version_0"]


def test_curves_without_sizes_are_told_what_compares_them_and_it_does(tmp_path, capsys):
    for name, fast in (("slow", 1), ("fast", 2)):
        (tmp_path / name).mkdir()
        curve = [5 * (fast * epoch) ** -0.2 for epoch in range(1, 9)]
        (tmp_path / name / "history.json").write_text(json.dumps({"loss": curve, "val_loss": curve}))
    assert main(["decide", str(tmp_path)]) == 1
    assert "`analysis speedup` compares them" in capsys.readouterr().err
    assert main(["speedup", str(tmp_path), "--baseline", "slow"]) == 0
    assert "epoch to equal loss: the baseline needs 2 × as many" in " ".join(capsys.readouterr().out.split())


def test_a_run_whose_name_holds_a_number_keeps_all_of_it(tmp_path):
    for rate in ("0.01", "0.001"):
        path = tmp_path / f"run-lr{rate}-tag-eval_loss.csv"
        path.write_text("Wall time,Step,Value\n" + "".join(f"{i},{i},{5 / i}\n" for i in range(1, 6)))
    answer = tmp_path / "answer.json"
    main(["speedup", str(tmp_path), "--baseline", "lr0.01", "--json", str(answer)])
    assert "lr0.001" in answer.read_text()


def test_a_rate_that_falls_along_curves_is_no_setting_of_runs(tmp_path):
    curves = table.read(trainer_states(tmp_path)).usable()
    assert len(set(curves.column("learning_rate"))) == len(WAY) and curves.has("run_id")
    assert not [line for line in curves.cautions if "learning_rate" in line]
    settings = {"params": [1e6] * 6, "tokens": [1e8] * 6, "loss": np.linspace(3, 2.9, 6), "lr": [1, 2, 3] * 2}
    named = table.from_columns(**settings, run_id=[f"r{i}" for i in range(6)])
    assert [line for line in named.cautions if "several values of lr" in line]
