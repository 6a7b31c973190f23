"""The digest of the numeric code: it sees what changes numbers and nothing else; mixed tables say so."""

import shutil
from pathlib import Path

import pytest

import lab
from analysis.tables import table
from lab.store import code

SOURCE = Path(lab.__file__).parent


@pytest.fixture
def clone(tmp_path):
    return Path(shutil.copytree(SOURCE, tmp_path / "lab", ignore=shutil.ignore_patterns("__pycache__")))


def changed(clone, name, old, new):
    path = clone / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    code.digest.cache_clear()
    return code.digest(clone) != code.digest(SOURCE)


def test_a_clone_has_the_digest_of_its_original(clone):
    assert code.digest(clone) == code.digest(SOURCE) == code.digest()


def test_a_change_of_numbers_changes_it(clone):
    first = next(line for line in (clone / "train/schedule.py").read_text().splitlines() if "return " in line)
    assert changed(clone, "train/schedule.py", first, first.replace("return ", "return 0.1 * "))


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("train/mesh.py", "jax.lax.pmean", "jax.lax.psum"),
        ("train/layout.py", "std * normal", "normal"),
        ("train/evaluate.py", "EVAL_TOKENS = 16_384", "EVAL_TOKENS = 8_192"),
        ("data/mixtures.py", "DEAL = 1000", "DEAL = 500"),
    ],
)
def test_so_does_one_of_how_a_run_is_spread_scored_or_given_a_mixture(clone, name, old, new):
    assert changed(clone, name, old, new)


def test_comments_layout_and_other_files_do_not(clone):
    assert not changed(clone, "train/schedule.py", "\ndef ", "\n\n# a remark\ndef ")
    assert not changed(clone, "commands/run.py", "\ndef ", "\n\nMORE = 1\ndef ")
    assert not changed(clone, "models/counts.py", "\ndef ", "\n\nMORE = 1\ndef ")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("if a:\n    b()\n    c()\n", "if a:\n    b()\nc()\n"),  # a line leaves its block
        ("a = 1\n", "a = 2\n"),
        ('a = "x # y"\n', 'a = "x # z"\n'),
    ],
)
def test_what_means_something_else_is_something_else(before, after):
    assert code.essential(before) != code.essential(after)


def test_a_table_of_several_codes_draws_a_caution_and_one_of_one_does_not(tmp_path):
    def cautions(codes):
        rows = [f"{10**i},{2 * 10**i},{3 - i / 10},{codes[i % len(codes)]}" for i in range(4, 10)]
        (tmp_path / "runs.csv").write_text("\n".join(["params,tokens,loss,code", *rows]) + "\n")
        return [line for line in table.read(tmp_path / "runs.csv").cautions if "training code" in line]

    assert cautions(["aaaaaaaaaaaa"]) == []
    (line,) = cautions(["aaaaaaaaaaaa", "bbbbbbbbbbbb"])
    assert "2 values of code (aaaaaaaaaaaa, bbbbbbbbbbbb)" in line
