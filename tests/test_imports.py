"""The house's rules, read off the source: who imports whom, and which word stands where."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HOUSES = ("lab", "analysis", "lab.launch", "analysis.papers", "analysis.commands")
# A module imports only from the ones before it.
LAB = [
    "config", "schedule", "parameterization", "tokens", "grammars", "languages", "texts",
    "downloads", "corpora", "data",
    "ops", "recurrent", "model", "counts", "trunk", "step", "parallel", "grid", "files", "records",
    "checkpoint", "store", "contents", "failures", "lineage", "export", "peak", "begin", "train",
    "pack", "pack_size", "weights", "sample", "positions", "noise", "coder", "compress",
    "launch.attempt", "launch.packs", "launch.worker", "launch.order", "launch.local",
    "launch.slurm", "launch.ray", "launch.launchers", "verify", "view", "plans", "troubles",
    "settings", "experiment", "bench", "data_cli", "text_cli", "cli",
    "__main__",
]  # fmt: skip
ANALYSIS = [
    "where", "table_read", "table_units", "table_roles", "mixtures", "runs", "table", "budgets",
    "jets", "law", "laws_curve", "laws_joint", "laws_beyond", "laws", "solve",
    "verdict", "fit", "cost", "curves", "isoflop", "band", "lines", "bias", "schedule",
    "curve_table", "envelope", "frontier", "profile", "uncertainty", "ledger", "synthetic",
    "findings", "audit_table", "audit_local", "audit_fit", "audit_rows", "audit_forecast",
    "audit", "decide", "answer", "decisions", "published", "figures_style", "figures",
    "figures_fit",
    "figures_envelope", "figures_ledger", "figures_audit", "figures_decide", "report",
    "papers.claims", "papers.public", "papers.shapes", "papers.hoffmann_figures",
    "papers.besiroglu2024", "papers.hoffmann2022", "papers.kaplan2020", "papers.muennighoff2023",
    "papers.pearce2024", "papers.porian2024", "commands.shared", "commands.audit", "commands.fit",
    "commands.decide", "commands.frontier", "commands.isoflop", "commands.envelope",
    "commands.ledger", "commands.report", "commands.reproduce", "__main__",
]  # fmt: skip


def imports(path: Path) -> set[str]:
    """Every module a file imports, `from lab import model` giving lab.model."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            inside = node.module in HOUSES
            found |= {f"{node.module}.{a.name}" for a in node.names} if inside else {node.module}
    return found


def files(package: str) -> dict[str, Path]:
    paths = (ROOT / package).rglob("*.py")
    named = {".".join(p.relative_to(ROOT / package).with_suffix("").parts): p for p in paths}
    return {name: path for name, path in named.items() if not name.endswith("__init__")}


@pytest.mark.parametrize(("package", "order"), [("lab", LAB), ("analysis", ANALYSIS)])
def test_a_module_imports_only_from_those_above_it(package, order):
    assert sorted(files(package)) == sorted(order), "name a new module's place in the order"
    for name, path in files(package).items():
        for other in imports(path):
            if other.startswith(f"{package}."):
                inner = other.removeprefix(f"{package}.")
                assert order.index(inner) < order.index(name), f"{name} imports {inner}"


def test_lab_and_analysis_never_import_each_other():
    heavy = ("lab", "jax", "flax", "optax", "orbax", "experiments")
    for package, banned in (("lab", ("analysis", "experiments")), ("analysis", heavy)):
        for name, path in files(package).items():
            heads = {other.split(".")[0] for other in imports(path)}
            assert not heads & set(banned), f"{package}.{name} imports {heads & set(banned)}"


def test_only_model_knows_nnx_and_only_parallel_says_mesh_pmap_or_shard_map():
    for name, path in files("lab").items():
        code = path.read_text()
        if name != "model":
            assert not re.search(r"\bnnx\b", re.sub(r'""".*?"""', "", code, flags=re.S)), name
        if name != "parallel":
            assert not re.search(r"jax\.pmap|Mesh\(|NamedSharding|shard_map\(", code), name


def test_flags_of_jax_are_set_only_where_a_worker_starts():
    for name, path in files("lab").items():
        if name != "launch.worker":
            assert "jax.config" not in path.read_text(), name


def test_status_and_data_commands_start_without_jax():
    launchers = ("launch.order", "launch.local", "launch.slurm", "launch.ray")
    for name in ("store", "export", "grid", "counts", "corpora", "data", "cli", *launchers):
        top = ast.parse(files("lab")[name].read_text()).body
        heads = {
            alias.name.split(".")[0]
            for node in top if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in (node.names if isinstance(node, ast.Import) else [ast.alias(node.module)])
        }  # fmt: skip
        assert "jax" not in heads, name
