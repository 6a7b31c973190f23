"""Values are frozen: what a function returns is not changed behind the back of who holds it."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Those that hold a place, a process or what was gathered so far, and change by their own methods.
CHANGING = {
    "lab": {"Crew", "Claim", "Store", "Attempts", "Worker"},
    "analysis": {"Parser", "Roles", "Downloads", "Paper"},
}


def frozen(node: ast.ClassDef) -> bool | None:
    """Whether a dataclass is frozen; None of what is none."""
    for decorator in node.decorator_list:
        name = decorator.func if isinstance(decorator, ast.Call) else decorator
        if isinstance(name, ast.Name) and name.id == "dataclass":
            options = decorator.keywords if isinstance(decorator, ast.Call) else []
            return any(item.arg == "frozen" and ast.literal_eval(item.value) for item in options)
    return None


@pytest.mark.parametrize("package", CHANGING)
def test_every_dataclass_is_frozen_but_those_that_are_there_to_change(package):
    trees = [ast.parse(path.read_text()) for path in (ROOT / package).rglob("*.py")]
    classes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    assert sum(frozen(node) is True for node in classes) > 20
    assert {node.name for node in classes if frozen(node) is False} == CHANGING[package]
