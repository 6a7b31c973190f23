"""python tests/mutants.py: how many one-line mutations of the numeric core the tests notice.

A random sample of places in CORE is mutated by cosmic-ray's operators, one at a time, in a copy of
the tree; against each mutant run the tests that import its module, then those that import its users,
and so on, quick ones first, until one fails. Tests that only compare with committed results stay out:
a regeneration would hide what they notice. Survivors are listed, to be read one by one
(CONTRIBUTING.md has the last figure). What decides no number and no word is not mutated: `Behaviour`
says what that is. Tests run under --python: cosmic-ray has an environment of its own (`make mutants`).
"""

import argparse
import ast
import difflib
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import xml.etree.ElementTree as xml
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

ROOT = Path(__file__).parents[1]
OUT = ROOT / "out" / "mutants"
CORE = re.compile(  # published.py is a table of other people's numbers
    r"lab/(models|store)/.*|lab/data/(token|byte_pairs|batches).*|lab/train/(checkpoint|step|schedule|parallel|optim).*"
    r"|analysis/(laws/(?!published)|fitting/|frontiers/|tables/).*"
)
OPERATORS = re.compile(
    r"core/(Replace(True|False|And|Or|Break|Continue|UnaryOperator_Delete_).*|AddNot|NumberReplacer|ExceptionReplacer"
    r"|ZeroIteration.*|ReplaceComparisonOperator_(Lt_LtE|LtE_Lt|Gt_GtE|GtE_Gt|Lt_GtE|GtE_Lt|Eq_NotEq|NotEq_Eq|Is_IsNot)"
    r"|ReplaceBinaryOperator_(Add_Sub|Sub_Add|Mul_Div|Div_Mul|FloorDiv_Mul|Mod_FloorDiv|Pow_Mul|.Shift_.Shift))"
)
LEFT_OUT = re.compile(  # tests of committed results, and of whole commands in processes of their own
    r"test_(before|bench|docs|experiments|forecast|papers|prediction|public|run_ids"
    r"|alone|coordinates|end_to_end|faults|hello|hosts|known_entropy|launch|many_runs|memory)\b.*"
)
COMMITTED = "not committed and not documented and not published and not stated"  # the same, by name
QUICK, PATIENCE = 0.5, 120  # seconds of a test that goes first, and of all that a mutant is put to


class Behaviour(ast.NodeTransformer):
    """Code without what no right program can show: annotations, which nothing reads; `strict` of zip,
    an assertion; the `*` of a signature, which cosmic-ray takes for a product; the `grid` of a law,
    where searches begin, of which the best end is kept."""

    def visit_arg(self, node):
        return ast.arg(node.arg)

    def visit_arguments(self, node):
        named = [*node.posonlyargs, *node.args, *node.kwonlyargs]
        values = [*node.defaults, *node.kw_defaults]
        return self.generic_visit(ast.arguments([], named, node.vararg, [], [], node.kwarg, values))

    def visit_AnnAssign(self, node):
        start = isinstance(node.target, ast.Name) and node.target.id == "grid"
        return self.generic_visit(ast.Assign([node.target], ast.Constant(0) if start else node.value))

    def visit_FunctionDef(self, node):
        node.returns = None
        return self.generic_visit(node)

    def visit_Call(self, node):
        if isinstance(node.func, ast.Name) and node.func.id == "zip":
            node.keywords = []
        return self.generic_visit(node)


@dataclass(frozen=True)
class Mutant:
    path: str
    line: int
    operator: str
    occurrence: int

    def code(self) -> str:
        return mutate_code((ROOT / self.path).read_text(), get_operator(self.operator)(), self.occurrence)

    def diff(self) -> str:
        """Its line before and after; "" where it is no code, or behaves the same (1e21 + 1)."""
        before, after = (ROOT / self.path).read_text(), self.code()
        try:
            old, new = (ast.dump(Behaviour().visit(ast.parse(code))) for code in (before, after))
        except SyntaxError:
            return ""
        if old == new:
            return ""
        lines = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=0)
        return "\n".join(line for line in lines if re.match(r"[-+](?!--|\+\+)", line))


def sample(count: int, seed: int, only: str) -> list[Mutant]:
    """Places drawn evenly, and at each one of its mutants. One more or less of a thousand is none."""
    places = defaultdict(list)
    for path in sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("[la]*/**/*.py")):
        if not CORE.fullmatch(path) or only not in path:
            continue
        nodes = list(ast_nodes(get_ast((ROOT / path).read_text())))
        for name in filter(OPERATORS.fullmatch, sorted(operator_names())):
            spots = [(s, node) for node in nodes for s in get_operator(name)().mutation_positions(node)]
            for i, (spot, node) in enumerate(spots):
                if name != "core/NumberReplacer" or abs(ast.literal_eval(node.value)) < 1000:
                    places[path, spot].append(Mutant(path, spot[0][0], name, i))
    draw = random.Random(seed)
    chosen = [draw.choice(places[key]) for key in draw.sample(sorted(places), min(len(places), 2 * count))]
    return [mutant for mutant in chosen if mutant.diff()][:count]


@cache
def imports(path: Path) -> frozenset[Path]:
    """The project's files that a file imports; instead of a package's face, those behind it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        modules = [ROOT / name.replace(".", "/") for name in names]
        found |= {at for m in modules for at in (m.with_suffix(".py"), m / "__init__.py") if at.exists()}
    faces = {at for at in found if at.name == "__init__.py" and at != path}
    return frozenset((found - faces).union(*map(imports, faces)))


@cache
def test_files(path: str) -> tuple[tuple[int, Path], ...]:
    """Tests by how many imports lie between them, or a helper of theirs, and a module."""
    modules = list(ROOT.glob("[la]*/**/*.py"))
    distance, reached = {ROOT / path: 0}, [ROOT / path]
    for module in reached:  # grows
        users = [p for p in modules if p not in distance and module in imports(p)]
        distance |= dict.fromkeys(users, distance[module] + 1)
        reached += users
    ranked = []
    for file in sorted((ROOT / "tests").glob("test_*.py")):
        seen = imports(file).union(*(imports(at) for at in imports(file) if at.parent == file.parent))
        ends = [distance[at] for at in seen if at in distance]
        ends += [0] * (file.stem == "test_frozen")  # which reads all source
        if ends and not LEFT_OUT.fullmatch(file.stem):
            ranked.append((min(ends), file))
    return tuple(ranked)


class Tree:
    """A copy of the tree, in which tests run."""

    def __init__(self, folder: Path, python: str):
        self.folder, self.python, self.prepared = folder, python, folder.parent / "data"
        self.prepared.mkdir(exist_ok=True)
        listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
        for name in subprocess.check_output(listed, cwd=ROOT, text=True).splitlines():
            if (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)

    def pytest(self, *options: str, data: Path, seconds: float) -> tuple[int | None, str]:
        """Its exit status, None after so many seconds, and what it printed."""
        shutil.rmtree(self.folder / ".hypothesis", ignore_errors=True)  # examples of another mutant
        env = {name: value for name, value in os.environ.items() if name != "SCALING_DATA"}
        env |= {"LAB_DATA": str(data), "JAX_COMPILATION_CACHE_DIR": str(self.folder.parent / "compiled")}
        env |= {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0", "PYTHONPATH": ""}
        command = [self.python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", COMMITTED, *options]
        with tempfile.TemporaryFile("w+") as out:
            redirect = {"stdout": out, "stderr": out, "start_new_session": True}
            process = subprocess.Popen(command, cwd=self.folder, env=env, **redirect)
            try:
                status = process.wait(seconds)
            except subprocess.TimeoutExpired:
                status = None
            try:
                os.killpg(process.pid, signal.SIGKILL)  # and whatever it started
            except ProcessLookupError:
                pass
            process.wait()
            out.seek(0)
            return status, out.read()

    def seconds(self, file: Path) -> dict[str, float]:
        """Of each test of a file that passes on the code as it is."""
        self.pytest(f"tests/{file.name}", "--junitxml=report.xml", data=self.prepared, seconds=1800)
        cases = list(xml.parse(self.folder / "report.xml").getroot().iter("testcase"))
        print(f"{file.name}: {sum(not len(case) for case in cases)} of {len(cases)} tests pass", flush=True)
        return {f"tests/{file.name}::{c.get('name')}": float(c.get("time")) for c in cases if not len(c)}

    def judge(self, mutant: Mutant, costs: dict[str, dict[str, float]]) -> dict:
        """The mutant with its verdict (killed, endless, survived) and the test that failed."""
        ranked = sorted(
            (rank, cost > QUICK and cost, file.name, name, cost)
            for rank, file in test_files(mutant.path)
            for name, cost in costs[file.name].items()
        )
        tests, near, spent = [], [], 0.0
        for rank, slow, _, name, cost in ranked:
            if spent + cost <= PATIENCE:
                tests, spent = [*tests, name], spent + cost
                near += [name] * (rank == ranked[0][0] and not slow)
        (self.folder / mutant.path).write_text(mutant.code())
        data = self.folder / "data"  # of its own: a mutant may spoil it
        for part in filter(None, (near, tests)):  # few files are collected sooner than all
            shutil.copytree(self.prepared, data)
            (self.folder / "chosen").write_text("\n".join(part))
            status, text = self.pytest("-x", "@chosen", data=data, seconds=120 + 5 * spent)
            shutil.rmtree(data)
            if status not in (0, 5):
                break
        shutil.copy(ROOT / mutant.path, self.folder / mutant.path)
        verdict = {0: "survived", 5: "survived", None: "endless"}.get(status, "killed")
        failed = next((line for line in text.splitlines() if line.startswith(("FAILED", "ERROR"))), "")
        print(f"{verdict:9} {mutant.path}:{mutant.line}  {failed[:120]}", flush=True)
        return asdict(mutant) | {"diff": mutant.diff(), "verdict": verdict, "by": failed, "tests": len(tests)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="part of the paths to mutate")
    parser.add_argument("--python", default=sys.executable, help="under which the tests run")
    options = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    mutants = sample(options.count, options.seed, options.only)
    files = sorted({file for mutant in mutants for _, file in test_files(mutant.path)})
    keys = {file: f"{file.name} {hashlib.sha256(file.read_bytes()).hexdigest()}" for file in files}
    mine = threading.local()

    def enter() -> None:
        mine.tree = Tree(Path(tempfile.mkdtemp(dir=folder)), os.path.abspath(options.python))

    with (
        tempfile.TemporaryDirectory() as folder,
        ThreadPoolExecutor(os.cpu_count(), initializer=enter) as pool,
    ):
        kept = OUT / "costs.json"  # of tests that did not change since the last sample
        known = json.loads(kept.read_text()) if kept.exists() else {}
        new = [file for file in files if keys[file] not in known]
        for file, seconds in zip(new, pool.map(lambda file: mine.tree.seconds(file), new), strict=True):
            known[keys[file]] = seconds
            kept.write_text(json.dumps(known, indent=1))
        costs = {file.name: known[keys[file]] for file in files}
        rows = []
        for row in pool.map(lambda mutant: mine.tree.judge(mutant, costs), mutants):
            rows.append(row)
            (OUT / f"seed-{options.seed}.json").write_text(json.dumps(rows, indent=1))
    survivors = [row for row in rows if row["verdict"] == "survived"]
    print(f"\nseed {options.seed}: {len(rows) - len(survivors)} of {len(rows)} mutants killed")
    for row in survivors:
        print(f"\n{row['path']}:{row['line']} passes {row['tests']} tests\n{row['diff']}")


if __name__ == "__main__":
    main()
