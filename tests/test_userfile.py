"""A user's own file: its code is its identity, and only what the user names is imported."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from lab.commands import cli
from lab.commands.settings import override
from lab.config import from_json, to_json, userfile
from lab.launch.task import Task
from lab.store.store import Store
from tests import tiny
from tests.conftest import ROOT, data_folder
from tests.grids import TINY
from tests.test_fields import RUN

CODE = """
import helper  # beside it


def net(x):
    return helper.twice(x)
"""
HELPER = "def twice(x):\n    return 2 * x\n"


@pytest.fixture(autouse=True)
def nothing_named(monkeypatch):
    monkeypatch.setattr(userfile, "NAMED", {})
    monkeypatch.setattr(userfile, "FOLDERS", [])
    monkeypatch.setattr(sys, "path", [*sys.path])


@pytest.fixture
def net(tmp_path):
    (tmp_path / "net.py").write_text(CODE)
    (tmp_path / "helper.py").write_text(HELPER)
    return tmp_path / "net.py"


def of_kind(kind):
    return replace(RUN, model=replace(RUN.model, kind=kind))


@pytest.mark.parametrize(
    ("file", "old", "new", "same"),
    [
        ("net.py", "# beside it", "# a remark", True),
        ("net.py", "\n\n\ndef", "\n\n# more\n\ndef", True),
        ("net.py", "twice(x)", "twice(-x)", False),
        ("net.py", "\n\n\ndef", '\n\n\n"""What follows."""\n\n\ndef', True),
        ("helper.py", "    return", '    """Twice."""\n    return', True),
        ("helper.py", "    return", '    x = "twice"\n    return', False),
        ("helper.py", "2 * x", "3 * x", False),
        ("helper.py", "return", "# twice\n    return", True),
    ],
)
def test_its_identity_is_its_code_and_that_of_what_it_imports_from_beside_it(net, file, old, new, same):
    before = userfile.identity(net)
    path = net.with_name(file)
    path.write_text(path.read_text().replace(old, new))
    assert (userfile.identity(net) == before) is same


PACKAGE = {
    "net.py": "from mylib.blocks import block",
    "mylib/__init__.py": "",
    "mylib/blocks.py": "from mylib.norms import scale\n\ndef block(x):\n    return scale(x)",
    "mylib/norms.py": "def scale(x):\n    return 1.0 * x",
}


@pytest.mark.parametrize(
    ("named", "changes"),
    [
        ("net.py", {}),
        ("net.py", {"net.py": "import mylib", "mylib/__init__.py": "from . import norms"}),
        ("net.py", {"net.py": "import mylib.sub.net", "mylib/sub/net.py": "from ..norms import scale"}),
        ("net.py", {"mylib/blocks.py": "from .norms import *"}),
        ("mylib/blocks.py", {}),
        ("mylib/blocks.py", {"mylib/blocks.py": "import norms"}),
        (
            "mylib/sub/net.py",
            {"mylib/sub/__init__.py": "", "mylib/sub/net.py": "from mylib.norms import scale"},
        ),
    ],
)
def test_its_identity_follows_what_its_packages_import_from_one_another(
    tmp_path, monkeypatch, named, changes
):
    for name, code in (PACKAGE | changes).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(code)
    monkeypatch.chdir((tmp_path / named).parent)
    path = Path(named).relative_to(Path(named).parent)
    before = userfile.identity(path)
    assert before == userfile.identity(tmp_path / named)
    given, copies = tmp_path / "given", userfile.copies(path)
    for file, place in copies.items():
        (given / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, given / place)
    assert userfile.identity(given / copies[path.resolve()]) == before
    (tmp_path / "mylib" / "norms.py").write_text("def scale(x):\n    return 2.0 * x")
    assert userfile.identity(path) != before


def test_what_only_lies_beside_a_package_is_none_of_its_code(tmp_path):
    for name in ("mylib/__init__.py", "mylib/net.py", "json.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("import json")
    before = userfile.identity(tmp_path / "mylib" / "net.py")
    (tmp_path / "json.py").write_text("x = 1")
    assert userfile.identity(tmp_path / "mylib" / "net.py") == before


def test_the_run_id_follows_its_code_and_not_where_it_lies_or_how_it_is_written(net, tmp_path, monkeypatch):
    run = of_kind(f"{net}:net")
    (tmp_path / "elsewhere").mkdir()
    for name in ("net.py", "helper.py"):
        (tmp_path / "elsewhere" / name).write_text((tmp_path / name).read_text())
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert of_kind("net.py:net") == of_kind("../net.py:net") == run
    (tmp_path / "renamed.py").write_text(CODE)
    assert of_kind("../renamed.py:net").run_id == run.run_id
    assert of_kind("net.py:other").run_id != run.run_id
    net.write_text(CODE.replace("twice(x)", "twice(x) + 1"))
    assert of_kind("../net.py:net").run_id != run.run_id != RUN.run_id
    assert from_json(json.loads(json.dumps(to_json(run)))) == run


def test_a_file_is_looked_for_beside_the_experiment_and_then_in_the_working_directory(net, tmp_path):
    with pytest.raises(ValueError, match=r"net.py:net: there is no file .*net.py"):
        userfile.name("net.py:net")
    userfile.FOLDERS.insert(0, tmp_path)
    assert userfile.load(userfile.name("net.py:net"))(3) == 6


def test_a_set_names_it_and_a_config_that_is_read_does_not(net):
    kind = override(RUN, f"model.kind={net}:net").model.kind
    assert userfile.load(kind)(3) == 6
    tree = to_json(RUN)
    tree["model"]["kind"] = f"{net}:net"
    with pytest.raises(ValueError, match=r"config.model.kind='.*net.py:net' lacks the digest of its code"):
        from_json(tree)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("net.py:gone@{now}", r"has no 'gone'"),
        ("net.py:net@0123456789ab", r"names it: .* --code net.py \(.*net.py holds {now} now: a changed file"),
        ("other.py:net@0123456789ab", r"names it: .* by --code other.py$"),
    ],
)
def test_what_was_not_named_is_not_loaded_and_the_message_says_what_to_do(net, kind, words):
    now = userfile.name_file(net)
    with pytest.raises(ValueError, match=words.replace("{now}", now)):
        userfile.load(kind.format(now=now))


def test_a_file_that_changed_since_it_was_named_is_refused(net):
    kind = userfile.name(f"{net}:net")
    net.write_text(CODE + "\n\nX = 1\n")
    with pytest.raises(ValueError, match=r"net.py has changed since it was named .* new ids"):
        userfile.load(kind)


def test_a_file_that_is_no_python_is_refused(net):
    net.write_text("def (")
    with pytest.raises(ValueError, match=r"net.py is no Python: .*\(.*line 1\)"):
        userfile.name(f"{net}:net")


@pytest.mark.parametrize("command", ["plan", "run"])
@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("cfg.depth", "net.py, line 3: AttributeError: 'ModelConfig' object has no attribute 'depth'"),
        ("int('x')", "net.py, line 3: ValueError: invalid literal for int"),
        ("__import__('json').loads('x')", "net.py, line 3: JSONDecodeError: Expecting value"),
    ],
)
def test_a_mistake_in_its_code_is_told_with_its_place_before_anything_is_trained(
    net, command, line, words, capsys
):
    net.write_text(f"class net:\n    def init(cfg, key):\n        return {line}\n\n    def apply(): ...\n")
    kind = ["--set", f"model.kind={net}:net", "--set", "model.position=rope"]
    assert cli.main([command, str(TINY), "--store", str(net.parent / "runs"), *kind]) == 1
    assert words in capsys.readouterr().err


# --- a store from somebody else ------------------------------------------------------------------


@pytest.fixture
def hostile(net, tmp_path, monkeypatch):
    """A store with a run whose config.json names a file beside it, finished by its record."""
    evil = tmp_path / "evil.py"
    evil.write_text(f"open({str(tmp_path / 'imported')!r}, 'w')\n\n\nclass Net: ...\n")
    monkeypatch.setenv("LAB_DATA", data_folder())
    shape = {"kind": f"{evil}:Net", "position": "rope"}
    config = replace(first := tiny.runs()[0], model=replace(first.model, **shape))
    userfile.NAMED.clear()  # it was named in another process
    store = Store(tmp_path / "runs")
    store.prepare()
    claim = store.claim(config)
    record = {"status": "done", "steps": config.steps, "loss": 1.0, "curve_sha256": "0"}
    store.write_record(config.run_id, record)
    claim.release()
    monkeypatch.chdir(tmp_path)
    yield store, config
    assert not (tmp_path / "imported").exists(), "its code was run"


@pytest.mark.parametrize("command", ["plan", "status", "export", "report"])
def test_commands_on_a_hostile_store_import_nothing(hostile, command, capsys):
    store, _ = hostile
    output = ["-o", str(store.root / "t.csv")] if command == "export" else []
    failed = cli.main([command, str(TINY), "--store", str(store.root), *output])
    assert failed == (command in ("report", "export"))  # nothing finished


@pytest.mark.parametrize("beside", [[], ["--code", "net.py"]])
def test_sample_of_a_hostile_run_imports_nothing_and_says_what_to_name(hostile, beside, capsys):
    store, config = hostile
    words = ["sample", config.run_id, "--store", str(store.root), "--prompt", "a", *beside]
    (store.folder(config.run_id) / "checkpoints" / str(config.steps)).mkdir(parents=True)
    assert cli.main(words) == 1
    assert "by --code evil.py" in capsys.readouterr().err


def test_a_worker_imports_no_file_that_its_launcher_did_not_name(hostile):
    store, config = hostile
    again = replace(config, seed=1)
    task = Task(str(store.root), [to_json(again)])
    assert task.files == {}
    env = os.environ | {"PYTHONPATH": str(ROOT), "LAB_DATA": data_folder()}
    command = [sys.executable, "-m", "lab.launch.worker"]
    with subprocess.Popen(
        command, env=env, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        process.stdin.write(task.line())
        process.stdin.flush()  # left open: the launcher lives
        said = process.stdout.read()
    assert "by --code evil.py" in said and process.returncode == 1


def test_a_launcher_hands_on_what_its_user_named(net, tmp_path):
    kind = userfile.name(f"{net}:net")
    task = Task(**json.loads(Task("runs", []).line()))
    userfile.NAMED.clear()
    userfile.allow(task.files)
    assert userfile.load(kind)(3) == 6
