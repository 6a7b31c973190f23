"""Values are frozen: what a function returns is not changed behind the back of who holds it. Those that
hold arrays equal themselves alone: element by element, == would have no answer and a hash none at all."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Those that hold a place, a process or what was gathered so far, and change by their own methods.
CHANGING = {
    "lab": {"Crew", "Half", "Claim", "Store", "Attempts", "Worker"},
    "analysis": {"Parser", "Roles", "Downloads", "Made", "Paper", "Number", "Stated"},
}


def option(node: ast.ClassDef, name: str, default: bool) -> bool | None:
    """An option of a dataclass, such as frozen; None of what is none."""
    for decorator in node.decorator_list:
        called = decorator.func if isinstance(decorator, ast.Call) else decorator
        if isinstance(called, ast.Name) and called.id == "dataclass":
            options = decorator.keywords if isinstance(decorator, ast.Call) else []
            return {item.arg: ast.literal_eval(item.value) for item in options}.get(name, default)
    return None


def classes(package: str) -> list[ast.ClassDef]:
    trees = [ast.parse(path.read_text()) for path in (ROOT / package).rglob("*.py")]
    return [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]


def holds_arrays(node: ast.ClassDef) -> bool:
    fields = [ast.unparse(field.annotation) for field in node.body if isinstance(field, ast.AnnAssign)]
    return any(re.search(r"\b(Array|ndarray)\b", kind) and "Callable" not in kind for kind in fields)


@pytest.mark.parametrize("package", CHANGING)
def test_every_dataclass_is_frozen_but_those_that_are_there_to_change(package):
    frozen = {node.name: option(node, "frozen", False) for node in classes(package)}
    assert sum(kept is True for kept in frozen.values()) > 20
    assert {name for name, kept in frozen.items() if kept is False} == CHANGING[package]


def test_values_that_hold_arrays_equal_themselves_alone():
    """But for those that stay inside a module and meet no other."""
    with_arrays = {node.name: option(node, "eq", True) for node in classes("analysis") if holds_arrays(node)}
    assert {"Runs", "Fit", "Band", "Frontier", "Sizes"} <= set(with_arrays)
    assert {name for name, eq in with_arrays.items() if eq} == {"Parser", "Penalty", "Problem", "Profile"}
