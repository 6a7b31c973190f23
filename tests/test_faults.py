"""A small part of the fault scripts; `make test-faults` runs all of them at length."""

import os
import subprocess
import sys

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


@pytest.mark.slow
def test_ten_kills_lose_nothing_and_change_nothing(undisturbed):
    said = script("kill9.py", "--kills", 10, "--seed", 1, "--reference", undisturbed)
    assert "none lost, all equal" in said


def test_the_fault_scripts_import_nothing_of_the_lab():
    for path in FAULTS.glob("*.py"):
        lines = path.read_text().splitlines()
        assert not [line for line in lines if line.startswith(("from lab", "import lab"))], path
