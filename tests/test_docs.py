"""README and docs: every link and path leads somewhere, and what stands in a code block works."""

import re
import shlex
import shutil
import sysconfig
from pathlib import Path

import pytest

from tests.conftest import ROOT, run_line

TOP = ("lab", "analysis", "experiments", "bench", "tests", "docs")
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("experiments/**/*.md")])
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`\n]+)`")


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_link_leads_to_a_file_and_a_heading(page):
    for link in LINK.findall(page.read_text()):
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        name, _, heading = link.partition("#")
        target = page if not name else (page.parent / name).resolve()
        assert target.exists(), link
        if heading:
            titles = re.findall(r"^#+ (.*)$", target.read_text(), re.M)
            slugs = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
            assert heading in slugs, link


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_path_that_a_page_names_exists(page):
    """`lab/train/run.py`, `analysis.laws.published`, `tests/faults`: in backquotes and in commands."""
    text = page.read_text()
    for code in CODE.findall(text):
        path = re.fullmatch(rf"((?:{'|'.join(TOP)})/[\w./-]*[\w/])(?::\S+)?", code)
        if path and not any(sign in code for sign in "*{<") and "out/" not in code:
            assert (ROOT / path[1]).exists(), code
        module = re.fullmatch(rf"((?:{'|'.join(TOP[:5])})(?:\.[a-z_0-9]+)+)(?:\(.*)?", code)
        if module:
            assert is_module_or_member(module[1]), code
    for module in re.findall(r"python -m ((?:lab|analysis|experiments|bench)(?:\.\w+)*)", text):
        assert is_module_or_member(module), module


def is_module_or_member(dotted: str) -> bool:
    """A package or module of the project, or a name that stands at the top of one."""
    parts = dotted.split(".")
    for i in range(len(parts), 0, -1):
        place = ROOT.joinpath(*parts[:i])
        module = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
        if place.is_dir() and i == len(parts):
            return True
        if module.exists():
            return i == len(parts) or bool(re.search(rf"\b{parts[i]}\b", module.read_text()))
    return False


def test_the_readme_can_be_read_in_a_minute():
    text = (ROOT / "README.md").read_text()
    assert len(text.split()) < 900
    assert max(map(len, text.splitlines())) <= 120


@pytest.mark.parametrize("name", ["README.md", "docs/tutorial.md", "docs/index.md", "docs/extend.md"])
def test_commands_are_written_as_a_clone_has_them(name):
    """`make run` installs what is needed, and no command `lab`."""
    text = (ROOT / name).read_text()
    lines = [line for block in re.findall(r"```bash\n(.*?)```", text, re.S) for line in block.splitlines()]
    assert lines and not [line for line in lines if line.split()[:1] in (["lab"], ["analysis"])]
    assert all("--prompt" in code for code in CODE.findall(text) if "lab sample RUN_ID" in code)


@pytest.mark.slow
def test_the_tutorial_s_commands_work_in_their_order(tmp_path):
    """All but `make run`, which stands for the quickstart (tests/test_end_to_end.py) and makes the
    environment that this test already runs in."""
    text = (ROOT / "docs" / "tutorial.md").read_text()
    mine = re.search(r"```python\n(# mine.py.*?)```", text, re.S)[1]
    mine, shrunk = re.subn(r"(\de)10:", r"\g<1>9:", mine)  # a tenth of the budgets, to save time
    assert shrunk == 3
    (tmp_path / "mine.py").write_text(mine)
    write_books(tmp_path / "books")
    for package in ("lab", "analysis", "experiments"):
        (tmp_path / package).symlink_to(ROOT / package)
    blocks = re.findall(r"```bash\n(.*?)```", text, re.S)
    commands = [shlex.split(line.split("#")[0]) for block in blocks for line in block.splitlines()]
    assert ["make", "run"] in commands and ["source", ".venv/bin/activate"] in commands
    commands = [command for command in commands if command[0] == "python"]
    assert len(commands) >= 8
    (tmp_path / "out" / "quickstart").mkdir(parents=True)  # what `make run` leaves
    committed = ROOT / "experiments" / "results" / "quickstart.csv"
    shutil.copy(committed, tmp_path / "out" / "quickstart" / "runs.csv")
    env = {"LAB_DATA": str(tmp_path / "data"), "PATH": "/usr/bin:/bin"}
    for command in commands:
        refusal = command[1:4] == ["-m", "analysis", "audit"]  # of so small a table is an answer: status 1
        assert run_line(command, tmp_path, env) in (0, refusal), " ".join(command)
    for name in ("runs.csv", "valleys.png", "decide.png", "report.html"):
        assert (tmp_path / name).stat().st_size > 1000, name
    assert len((tmp_path / "runs.csv").read_text().splitlines()) == 13


def write_books(folder: Path) -> None:
    """Four megabytes of real text: Python's own sources, as somebody's books."""
    folder.mkdir()
    size = 0
    for i, path in enumerate(sorted(Path(sysconfig.get_path("stdlib")).glob("*/*.py"))):
        text = path.read_text(errors="ignore")
        if size < 4.5e6 and "test" not in path.parts:
            shutil.copy(path, folder / f"{i}.txt")
            size += len(text)
