"""A grid given away is whole, and one of its runs comes out again to the last bit, or is said not to."""

import json
import shutil

import pytest

from lab.commands import release as command
from lab.store import files, release
from lab.store.store import Store
from tests.grids import TINY


@pytest.mark.slow
def test_a_release_holds_every_run_whole_and_the_cheapest_comes_out_again(undisturbed, tmp_path, lab_command):
    said = lab_command("release", TINY, "--store", undisturbed, "-o", "given").stdout
    given = tmp_path / "given"
    assert "4 of 4 runs" in said and not release.damaged(given)
    store = Store(given / "runs")
    for path in undisturbed.glob("*/record.json"):
        run_id = path.parent.name
        assert store.record(run_id) == Store(undisturbed).record(run_id)
        assert store.curve(run_id, store.record(run_id)) and store.newest_checkpoint(run_id)
    assert (given / "code" / "tiny.py").read_text() == TINY.read_text()
    assert len((given / "runs.csv").read_text().splitlines()) == 5
    said = lab_command("verify", "given").stdout
    assert "equal to the last bit" in said and "this is not where it was made" not in said
    again = lab_command("release", TINY, "--store", undisturbed, "-o", "given", code=1)
    assert "holds files already" in again.stderr


def test_a_changed_missing_or_added_file_is_named(undisturbed, tmp_path, lab_command):
    lab_command("release", TINY, "--store", undisturbed, "-o", "given")
    given = tmp_path / "given"
    (curve,) = list(given.glob("runs/*/curve.csv"))[:1]
    curve.write_text(curve.read_text().replace("1", "2", 1))
    (given / "runs.csv").unlink()
    (given / "more.txt").write_text("mine")
    expected = sorted(["more.txt", "runs.csv", str(curve.relative_to(given))])
    assert release.damaged(given) == expected
    said = lab_command("verify", "given", code=1).stderr
    assert "3 files are not what was released" in said and "more.txt" in said
    with pytest.raises(files.StoreError, match="holds no SHA256SUMS"):
        release.damaged(tmp_path)


def test_other_losses_and_another_machine_are_said(undisturbed, tmp_path, capsys):
    other = tmp_path / "other"
    (run_id,) = [path.parent.name for path in undisturbed.glob("*/record.json")][:1]
    shutil.copytree(undisturbed / run_id, other / run_id)
    record = json.loads((other / run_id / "record.json").read_text())
    record["loss"] *= 1.001
    (other / run_id / "record.json").write_text(json.dumps(files.sealed(record)))
    assert command.compare(Store(undisturbed), Store(undisturbed), run_id)
    assert not command.compare(Store(undisturbed), Store(other), run_id)
    assert "differ by up to 0.001 of themselves" in capsys.readouterr().out
    then = release.environment("") | {"processor": "Cray-1", "code": "0" * 12}
    (tmp_path / "environment.json").write_text(json.dumps(then))
    words = " ".join(release.unlike(tmp_path))
    assert "Cray-1 then" in words and "000000000000 then" in words and "jax" not in words
