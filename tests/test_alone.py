"""`analysis` works where neither `lab` nor jax can be imported, and imports little until asked."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BLOCK = """
import sys

class Wall:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("jax", "jaxlib", "flax", "optax", "orbax", "lab", "pandas"):
            raise ImportError(f"{name} is out of reach")

sys.meta_path.insert(0, Wall())
"""


def python(code: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", BLOCK + code], cwd=ROOT, capture_output=True, text=True, timeout=120
    )


def write_runs(path: Path) -> None:
    lines = ["params,tokens,loss,budget"]
    for budget in (1e12, 2e12, 4e12):
        for params in (2e4, 4e4, 8e4, 1.6e5, 3.2e5):
            tokens = budget / (6 * params)
            lines.append(f"{params},{tokens},{1.2 + 25 / params**0.4 + 60 / tokens**0.36},{budget}")
    path.write_text("\n".join(lines) + "\n")


def test_every_command_runs_without_jax_and_lab(tmp_path):
    runs = tmp_path / "runs.csv"
    write_runs(runs)
    code = f"""
from analysis.__main__ import main
for command in ("fit", "isoflop", "frontier --bootstrap 10 --figure {tmp_path}/f.png",
                "report --bootstrap 10 -o {tmp_path}/r.html"):
    name, *rest = command.split()
    assert main([name, {str(runs)!r}, *rest]) == 0, command
"""
    done = python(code)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "r.html").exists() and (tmp_path / "f.png").exists()


@pytest.mark.parametrize(
    ("command", "further"),
    [
        ("fit", "scipy.optimize"),  # of scipy the quantiles of Student's t alone, which intervals take
        ("fit --intervals none", "scipy"),
        ("isoflop", "scipy"),
        ("frontier", "scipy.optimize"),
    ],
)
def test_without_a_figure_little_is_imported(command, further, tmp_path):
    runs = tmp_path / "runs.csv"
    write_runs(runs)
    done = python(f"""
from analysis.__main__ import main
name, *options = {command!r}.split()
assert main([name, {str(runs)!r}, *options]) == 0
heavy = [name for name in ("matplotlib", "jax", "pandas", "scipy.stats", {further!r}) if name in sys.modules]
assert not heavy, heavy
""")
    assert done.returncode == 0, done.stderr


def test_the_fit_command_starts_and_ends_quickly(tmp_path):
    runs = tmp_path / "runs.csv"
    write_runs(runs)
    times = []
    for _ in range(3):  # processor time, which a busy machine does not stretch
        start = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [sys.executable, "-m", "analysis", "fit", str(runs)]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
        end = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(end.ru_utime - start.ru_utime + end.ru_stime - start.ru_stime)
    assert min(times) < 1.0
