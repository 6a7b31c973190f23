"""Extrapolation tasks of ScaleBench (arXiv 2604.22753), as a user types them: fitted to the training rows,
asked for the test rows beyond, R² at or above the published figures."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from analysis.__main__ import main
from analysis.laws import Experts, Rectified

DATA = Path(os.environ.get("SCALING_DATA", "")) / "scalebench"
PUBLISHED = {  # law, R² over the test rows: data-constrained and parallel as published, the others held here
    "data_constrained": ("data-constrained", 0.911),
    "parallel": ("parallel", 0.99),
    "vocab": ("vocabulary", 0.96),
    "lr_bsz": ("tuned", 0.85),
}


def explained(train, test, out, *options) -> float:
    """R² over all test rows, whatever group they are of."""
    assert main(["predict", str(train), "--at-table", str(test), "--json", str(out), *options]) == 0
    answers = json.loads(out.read_text())
    rows = [row for answer in (answers if isinstance(answers, list) else [answers]) for row in answer["rows"]]
    said, measured = (np.array([row[key] for row in rows]) for key in ("predicted", "measured"))
    return 1 - ((said - measured) ** 2).sum() / ((measured - measured.mean()) ** 2).sum()


@pytest.mark.skipif(not DATA.is_dir(), reason="SCALING_DATA names no folder with scalebench")
@pytest.mark.parametrize("task", PUBLISHED)
def test_the_test_rows_are_forecast_as_well_as_published(task, tmp_path):
    law, least = PUBLISHED[task]
    train, test = (DATA / f"{task}_{part}.csv" for part in ("train", "test"))
    options = ["--law", law, "--by", "group", "--intervals", "none"]
    assert explained(train, test, tmp_path / "out.json", *options) >= least


def write(path, head, rows):
    path.write_text("\n".join([head, *(",".join(map(str, row)) for row in rows)]) + "\n")
    return path


def test_experts_and_fine_tuning_are_found_by_their_headers(tmp_path, capsys):
    rng, out = np.random.default_rng(0), tmp_path / "out.json"
    law = Experts(E=0.5, A=12.0, alpha=0.13, delta=0.3, zeta=0.01, few=2.0, many=300.0)
    sizes, experts = np.geomspace(1e7, 1e9, 6), (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
    rows = [(x, n, law.loss(n, x) * np.exp(0.002 * rng.standard_normal())) for n in sizes for x in experts]
    head = "num_experts,dense_parameter_count,loss_validation"
    few, many = write(tmp_path / "a.csv", head, rows[:-10]), write(tmp_path / "b.csv", head, rows[-10:])
    assert explained(few, many, out, "--law", "experts", "--intervals", "none") > 0.95
    laws = {"a": Rectified(low=0.8, height=2.5, x0=1e4, s=0.5), "b": Rectified(1.2, 1.5, 1e3, 0.4)}
    rows = [(name, 200 * 2**i, float(law.loss(200 * 2**i))) for name, law in laws.items() for i in range(13)]
    head = "group,sft_data_size,sft_loss"
    few = write(tmp_path / "c.csv", head, [row for row in rows if row[1] < 8e5])
    many = write(tmp_path / "d.csv", head, [row for row in rows if row[1] > 8e5])
    assert explained(few, many, out, "--law", "rectified", "--by", "group", "--intervals", "none") > 0.999
    assert "all of --by group: 2: MAPE" in capsys.readouterr().out


def test_a_loss_below_zero_is_lifted_for_the_fit_and_predicted_as_it_is(tmp_path, capsys):
    sizes = [
        (n, v, c) for n in np.geomspace(1e7, 1e9, 5) for v in (4096, 16384, 65536) for c in (1e8, 1e9, 1e10)
    ]
    losses = [-6 + 90 * n**-0.3 + 2 * v**-0.3 + 600 * c**-0.35 for n, v, c in sizes]
    rows = [(*size, loss) for size, loss in zip(sizes, losses, strict=True)]
    head = "non_vocab_parameters,vocab_size,num_characters,unigram_normalized_loss"
    table, out = write(tmp_path / "a.csv", head, rows), tmp_path / "out.json"
    assert explained(table, table, out, "--law", "vocabulary") > 0.9999
    row = json.loads(out.read_text())["rows"][0]
    assert row["low"] <= row["predicted"] <= row["high"] and row["predicted"] == pytest.approx(
        losses[0], abs=0.01
    )
    capsys.readouterr()
    fitted = ["fit", str(table), "--law", "vocabulary", "--intervals", "auto", "--json", str(out)]
    assert main(fitted) == 0
    floor = json.loads(out.read_text())["parameters"]["E"]
    assert floor["value"] == pytest.approx(-6, abs=0.01) and floor["low"] <= -6 + 1e-6 <= floor["high"] + 1e-3
    assert "was fitted, to be above zero" in " ".join(capsys.readouterr().out.split())
    assert main(["frontier", str(table)]) == 1
    assert main(["audit", str(table), "--params", "vocab_size", "--tokens", "num_characters"]) == 1
    assert "losses of zero and below" in capsys.readouterr().err
