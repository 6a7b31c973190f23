"""The house's rules, read off the source: who imports whom, and which word stands where."""

import ast
import re
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Packages from the ground up; a package imports only from the ones before it.
ORDER = {
    "lab": [
        "config",
        "data",
        "models",
        "plan",
        "store",
        "train",
        "trained",
        "launch",
        "commands",
        "__main__",
    ],
    "analysis": [
        *("laws", "tables", "fitting", "frontiers", "audit", "decisions"),
        *("figures", "headline", "notebook", "report", "papers", "commands", "__main__"),
    ],
}


@cache
def imports(path: Path) -> set[str]:
    """Every module of the project a file imports, `from lab.models import counts` giving
    lab.models.counts, and the first part of every other."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            folder = ROOT / node.module.replace(".", "/")
            found |= {f"{node.module}.{a.name}" for a in node.names} if folder.is_dir() else {node.module}
    return found


def files(package: str) -> dict[str, Path]:
    """Its modules by their dotted names, the faces of its packages left out."""
    paths = (ROOT / package).rglob("*.py")
    named = {".".join(p.relative_to(ROOT / package).with_suffix("").parts): p for p in paths}
    return {name: path for name, path in named.items() if not name.endswith("__init__")}


@pytest.mark.parametrize("package", ["lab", "analysis"])
def test_a_package_imports_only_from_those_before_it(package):
    order = ORDER[package]
    assert {name.split(".")[0] for name in files(package)} == set(order), "name a new package's place"
    for name, path in files(package).items():
        for other in imports(path):
            if other.startswith(f"{package}."):
                room, inner = name.split(".")[0], other.split(".")[1]
                assert order.index(inner) <= order.index(room), f"{name} imports {other}"


@pytest.mark.parametrize("package", ["lab", "analysis"])
def test_no_modules_import_each_other_in_a_circle(package):
    known = files(package)
    graph = {
        name: {other.removeprefix(f"{package}.") for other in imports(path)} & set(known)
        for name, path in known.items()
    }
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


@pytest.mark.parametrize("package", ["lab", "analysis", "experiments"])
def test_rooms_are_few_files_short_and_a_function_fits_on_a_screen(package):
    rooms = {path.name for path in (ROOT / package).iterdir() if not path.name.startswith("__")}
    assert package == "experiments" or len(rooms) <= 12, sorted(rooms)
    for path in (ROOT / package).rglob("*"):
        if path.suffix not in (".py", ".js", ".css", ".html"):
            continue
        text = path.read_text(encoding="utf-8")
        assert text.count("\n") < 300 and "fmt: skip" not in text, path
        for node in ast.walk(ast.parse(text)) if path.suffix == ".py" else ():
            if isinstance(node, ast.FunctionDef):
                assert node.end_lineno - node.lineno < 60, f"{path}: {node.name}"


def test_lab_and_analysis_never_import_each_other():
    heavy = ("lab", "jax", "flax", "optax", "orbax", "experiments")
    for package, banned in (("lab", ("analysis", "experiments")), ("analysis", heavy)):
        for name, path in files(package).items():
            heads = {other.split(".")[0] for other in imports(path)}
            assert not heads & set(banned), f"{package}.{name} imports {heads & set(banned)}"


def test_what_experiments_share_imports_no_experiment():
    for name, path in files("experiments").items():
        if name.startswith("reports."):
            upward = {each for each in imports(path) if re.match(r"experiments\.(?!reports)", each)}
            assert not upward, f"experiments.{name} imports {upward}"


def test_only_models_know_nnx_and_only_five_files_say_mesh_pmap_or_shard_map():
    for name, path in files("lab").items():
        code = path.read_text()
        if not name.startswith("models."):
            assert not re.search(r"\bnnx\b", re.sub(r'""".*?"""', "", code, flags=re.S)), name
        if name not in ("train.parallel", "train.mesh", "train.layout", "models.target", "models.kernels"):
            assert not re.search(r"jax\.pmap|Mesh\(|NamedSharding|shard_map\(", code), name


def test_flags_of_jax_are_set_only_where_a_worker_starts():
    for name, path in files("lab").items():
        if name not in ("launch.worker", "models.programs"):
            assert "jax.config" not in path.read_text(), name


def test_status_and_data_commands_start_without_jax():
    launchers = ("launch.order", "launch.local", "launch.slurm", "launch.ray")
    light = ("store.store", "store.export", "plan.grid", "models.counts", "data.corpora", "data.batches")
    for name in (*light, "commands.cli", "commands.plan", "commands.run", *launchers):
        top = ast.parse(files("lab")[name].read_text()).body
        heads = {
            alias.name.split(".")[0]
            for node in top
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in (node.names if isinstance(node, ast.Import) else [ast.alias(node.module)])
        }
        assert "jax" not in heads, name
