"""The README's commands, run as they stand there, on the quickstart with its grid shrunk."""

import json
import os
import re
import shlex
import shutil
from pathlib import Path

import pytest

from tests.conftest import ROOT, data_folder, run_line

SHRUNK = {
    "WIDTHS": "[8, 12]",  # each takes longer to compile than to train
    "N_LAYER": "1",
    "BUDGETS": "[6e9, 1.2e10, 2.4e10]",
    "SIZES": "[(0, 1), (-1, 0), (-2, -1)]",
    "WINGS": "[()] * 3",
    "AGAIN": "[()] * 3",
    "MIN_TOKENS": "0",
    "REPLICATED": "[(1, 1)]",
}


def blocks(language: str) -> list[str]:
    """The README's and the map's code blocks of a language."""
    pages = [(ROOT / name).read_text() for name in ("README.md", "docs/index.md")]
    return [block for page in pages for block in re.findall(rf"```{language}\n(.*?)```", page, re.S)]


def commands() -> list[list[str]]:
    """Every `python -m ...` line of theirs; `make run` is what it stands for. Those that take half a minute,
    or serve a page until they are stopped, have tests of their own (test_arms, test_grow, test_plan_on,
    test_watch, test_notes)."""
    lines = [line.split("#")[0].strip() for block in blocks("bash") for line in block.splitlines()]
    stands_for = {"make run": "python -m lab run experiments.quickstart"}
    lines = [stands_for.get(line, line) for line in lines]
    own = (" lab compare ", " lab grow ", " lab watch ", " lab bench ", " --on ")
    lines = [line for line in lines if not any(word in line for word in own)]
    # the tutorial's experiment, which is this one smaller, is trained by tests/test_docs.py
    lines = [line for line in lines if "mine.py" not in line or " plan " in line]
    return [shlex.split(line) for line in dict.fromkeys(lines) if line.startswith("python -m")]


def test_the_readme_s_own_experiment_can_be_planned(lab_command, tmp_path):
    write_experiment(tmp_path, lines=30_000)
    said = lab_command("plan", "mine.py", LAB_DATA=str(tmp_path / "data")).stdout
    assert "12 runs in 4 shapes" in said


def write_experiment(folder: Path, lines: int, shrink: float = 1.0) -> None:
    """The README's own experiment, its budgets shrunk, beside books for it."""
    code = re.sub(r"\d+e11", lambda budget: str(float(budget[0]) * shrink), blocks("python")[0])
    (folder / "mine.py").write_text(code)
    (folder / "books").mkdir()
    for i in range(12):
        text = [f"Line {i * j} of book {i} tells of {j} things.\n" for j in range(lines)]
        (folder / "books" / f"{i}.txt").write_text("".join(text))


@pytest.mark.slow
def test_every_command_of_the_readme_works_from_a_fresh_folder(tmp_path):
    shutil.copytree(ROOT / "experiments", tmp_path / "experiments")
    for package in ("lab", "analysis"):
        (tmp_path / package).symlink_to(ROOT / package)
    write_experiment(tmp_path, lines=3_000, shrink=0.05)
    shrink = tmp_path / "experiments" / "quickstart.py"
    code = shrink.read_text()
    for name, value in SHRUNK.items():
        code, n = re.subn(
            rf"^{name} = (\[[^\n\]]*\n.*?^\]|[^\n]*)", f"{name} = {value}", code, flags=re.M | re.S
        )
        assert n == 1, name
    shrink.write_text(code)
    for name, pace in {"slow.csv": 1, "fast.csv": 2}.items():
        points = [f"{step},{step},{1 + (pace * step) ** -0.5}\n" for step in range(100, 2000, 100)]
        (tmp_path / name).write_text("Wall time,Step,Value\n" + "".join(points))
    for name, table in {"old.csv": "plain", "new.csv": "dtypes"}.items():
        shutil.copy(ROOT / "experiments" / "results" / f"{table}.csv", tmp_path / name)
    listed = commands()
    assert len(listed) >= 8 and listed[0][3] == "run"
    env = os.environ | {"LAB_DATA": data_folder()}
    env.pop("PYTHONPATH", None)
    for command in listed:
        if command[2] == "analysis":  # three tiny budgets have no valley: the real grid's table
            shutil.copy(ROOT / "experiments" / "results" / "quickstart.csv", tmp_path / "runs.csv")
        assert run_line(command, tmp_path, env) == 0, " ".join(command)
    out = tmp_path / "out" / "quickstart"
    for name in ("runs.csv", "isoflop.png", "frontier.png", "law.png", "report.html"):
        assert (out / name).stat().st_size > 1000, name
    page = (out / "report.html").read_text()
    ids = [line.split(",")[0] for line in (out / "runs.csv").read_text().splitlines()[1:]]
    assert len(ids) == 8 and all(run_id in page for run_id in ids)
    assert "http://" not in page.replace("http://www.w3.org", "") and "https://" not in page
    assert json.loads((tmp_path / "frontier.json").read_text())
