"""A grid given away is whole, and one of its runs comes out again to the last bit, or is said not to."""

import json
import shutil
from argparse import Namespace
from types import SimpleNamespace

import pytest

from lab.commands import release as command
from lab.config import userfile
from lab.store import files, release
from lab.store.store import Store
from tests import tiny
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


def test_a_user_s_file_is_given_away_with_what_it_imports(undisturbed, tmp_path, monkeypatch):
    for name, code in (("net.py", "import helper\n"), ("helper.py", "x = 1\n"), ("other.py", "")):
        (tmp_path / name).write_text(code)
    monkeypatch.setattr(userfile, "NAMED", {})
    digest = userfile.name_file(tmp_path / "net.py")
    code = command.code_of(SimpleNamespace(module=tiny))
    release.write(Store(undisturbed), tiny.runs(), "tiny", tmp_path / "given", code, "")
    assert {path.name for path in (tmp_path / "given" / "code").iterdir()} == {
        "tiny.py",
        "net.py",
        "helper.py",
    }
    assert userfile.identity(tmp_path / "given" / "code" / "net.py") == digest


def test_a_run_of_a_pack_that_ends_otherwise_alone_is_told_why(undisturbed, tmp_path, monkeypatch, capsys):
    run = tiny.runs()[0]
    store, alone = Store(tmp_path / "runs"), Store(undisturbed)
    shutil.copytree(undisturbed / run.run_id, store.folder(run.run_id))
    record = dict(alone.record(run.run_id), loss=9.0, way="pack", pack=4, devices=2)
    (store.folder(run.run_id) / "record.json").write_text(json.dumps(files.sealed(record)))
    release.write(store, [run], "tiny", tmp_path / "given", {}, "")
    train = lambda to, *_: shutil.copytree(undisturbed / run.run_id, to.folder(run.run_id))  # noqa: E731
    monkeypatch.setattr(command.verify, "train", train)
    assert command.check(Namespace(folder=tmp_path / "given", run_id="", code=[])) == 1
    told = capsys.readouterr().out
    assert "devices 2 then, 1 here; way pack then, jit here; pack 4 then, none here" in told
    assert "please report it" not in told


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
    old = {"code": "a" * 12, "python": "3.11.7", "way": "jit"}
    unlike = command.placed_unlike(old, old | {"code": "b" * 12, "way": "pack"})
    assert unlike == [f"code {'a' * 12} then, {'b' * 12} here", "way jit then, pack here"]
    then = release.environment("") | {"processor": "Cray-1", "code": "0" * 12}
    (tmp_path / "environment.json").write_text(json.dumps(then))
    words = " ".join(release.unlike(tmp_path))
    assert "Cray-1 then" in words and "000000000000 then" in words and "jax" not in words
