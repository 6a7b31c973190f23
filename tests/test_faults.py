"""A small part of the fault scripts; `make test-faults` runs all of them at length."""

import os
import subprocess
import sys
import time

import pytest

from tests.conftest import ROOT, data_folder

FAULTS = ROOT / "tests" / "faults"


def script(name, *options):
    env = os.environ | {"LAB_DATA": data_folder()}
    command = [sys.executable, str(FAULTS / name), *map(str, options)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=550)
    assert done.returncode == 0, done.stdout + done.stderr
    print(done.stdout)  # shown with -rP
    return done.stdout


LOG = """\
12:00:00.000 process 7 starts
12:00:01.000 0123456789ab begins
12:00:02.000 0123456789ab trains from update 0
12:00:03.000 0123456789ab saves update 20
12:00:04.000 0123456789ab saves update 40
"""


@pytest.mark.parametrize(
    ("on_disk", "resumed", "told"),
    [
        ({20, 40}, 40, (1.0, False)),
        ({20}, 20, (2.0, True)),  # 40 was being written
        ({20, 40}, 20, "had update 40 on disk and went on from 20"),
        ({20}, 40, "had update 20 on disk and went on from 40"),
        (set(), 0, "stood at .* and went on from 0"),  # two intervals back
    ],
)
def test_what_a_kill_undid_is_read_from_the_logs(tmp_path, monkeypatch, on_disk, resumed, told):
    monkeypatch.syspath_prepend(FAULTS)
    import common

    (tmp_path / ".logs").mkdir()
    (tmp_path / ".logs" / "a.log").write_text(LOG)
    again = f"12:00:09.000 0123456789ab trains from update {resumed}\n"
    (tmp_path / ".logs" / "b.log").write_text("12:00:08.000 process 8 starts\n" + again)
    at = time.mktime((2026, 11, 22, 12, 0, 5, 0, 0, -1))
    deaths = [common.Death(at, 7, {"0123456789ab": on_disk})]
    if isinstance(told, str):
        with pytest.raises(common.Wrong, match=told):
            common.repeated(tmp_path, deaths)
    else:
        (undone,) = common.repeated(tmp_path, deaths)
        assert (undone.seconds, undone.writing) == pytest.approx(told)


@pytest.mark.slow
def test_five_kills_lose_nothing_and_change_nothing(undisturbed):
    said = script("kill9.py", "--kills", 5, "--seed", 1, "--reference", undisturbed)
    assert "none lost, all equal" in said


def test_the_fault_scripts_import_nothing_of_the_lab():
    for path in FAULTS.glob("*.py"):
        lines = path.read_text().splitlines()
        assert not [line for line in lines if line.startswith(("from lab", "import lab"))], path
