"""An experiment: a module or file that defines runs(), at one of its sizes, with fields replaced.

    runs() -> list[RunConfig]                 runs(size) where it has a dict SIZES, by name
    report(store, out)                        report(store, out, size); without one, `standard`'s page
    report(..., configs=None)                 one that can draw a grid changed by `--set`

What the user asked for and can't be done is raised as `CommandError`, in one line.
"""

import difflib
import importlib
import importlib.util
import inspect
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import FrozenInstanceError, dataclass, replace
from pathlib import Path
from types import ModuleType

from lab.commands import grid_page
from lab.commands.settings import override
from lab.config import RunConfig, userfile
from lab.plan import grid
from lab.store.files import StoreError
from lab.store.store import Store

OURS = tuple(f"{Path(__file__).parents[2] / package}{os.sep}" for package in ("lab", "analysis"))


def is_of_library(file: str) -> bool:
    return "site-packages" in file or file.startswith(os.path.dirname(os.__file__) + os.sep)


class CommandError(Exception):
    """What the user asked for can't be done; the message says why and what to do."""


@contextmanager
def errors_with_place() -> Iterator[None]:
    """Mistakes in an experiment's own code, with their place and without our frames."""
    try:
        yield
    except (CommandError, OSError, StoreError, ModuleNotFoundError):
        raise
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames if not frame.filename.startswith((*OURS, "<"))]
        mine = [frame for frame in own if not is_of_library(frame.filename)] or own
        in_words = frames[-1] not in own or (frames[-1] is mine[-1] and mine[-1].line[:5] == "raise")
        if isinstance(error, ValueError) and in_words:
            raise
        place = f"{mine[-1].filename}, line {mine[-1].lineno}: " if own else ""
        advice = ""
        if isinstance(error, FrozenInstanceError):
            advice = "; a config does not change: return another, dataclasses.replace(config, FIELD=VALUE)"
        raise CommandError(
            f"{place}{type(error).__name__}: {error}{advice} (LAB_TRACEBACK=1 shows the whole trace)"
        ) from error


@dataclass(frozen=True)
class Experiment:
    """What EXPERIMENT[:SIZE] and `--set` name."""

    module: ModuleType
    size: str = ""  # "" where it has one only
    settings: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Of its reports' folder and table: that of a size other than the first is added."""
        name = self.module.__name__.rpartition(".")[2]
        return name if not self.size or self.size == sizes_of(self.module)[0] else f"{name}-{self.size}"

    def configs(self) -> list[RunConfig]:
        """Its grid, with fields replaced; checked, each run once.

        Raises:
          CommandError: its code fails or returns no run; ValueError: a run can't be.
        """
        with errors_with_place():
            configs = list(self.module.runs(self.size) if self.size else self.module.runs())
        for config in configs:
            if not isinstance(config, RunConfig):
                raise CommandError(f"{self.module.__name__}.runs() returned {config!r}, no RunConfig")
        if self.settings:
            configs = with_settings(configs, self.settings)
        if not configs:
            raise CommandError(f"{self.module.__name__}.runs() returned no run")
        for config in configs:
            grid.check_data(config)
        return grid.unique(configs)

    @property
    def no_report(self) -> str:
        """Why there is no report to be drawn; "" when there is."""
        draw = getattr(self.module, "report", None)
        if not callable(draw):
            return ""  # the standard one is of any grid
        if self.settings and "configs" not in inspect.signature(draw).parameters:
            return (
                f"the report of {self.module.__name__} draws its grid as it is written and takes "
                "no `configs`: of runs changed by --set use `lab export` with the same --set"
            )
        return ""

    def report(self, store: Store, out: Path | None = None) -> None:
        """Draw its figures and page in a folder, by default out/NAME."""
        if self.no_report:
            raise CommandError(self.no_report)
        out = out or Path("out") / self.name
        changed = {"configs": self.configs()} if self.settings else {}
        if not callable(getattr(self.module, "report", None)):
            grid_page.write(store, self.configs(), out, self.name)
            return
        out.mkdir(parents=True, exist_ok=True)
        with errors_with_place():
            self.module.report(store, out, *filter(None, [self.size]), **changed)
        if (page := out / "report.html").exists():
            print(f"page: {page}")


def sizes_of(module: ModuleType) -> list[str]:
    named = getattr(module, "SIZES", None)  # a list or a number of that name is the file's own
    return list(named) if isinstance(named, dict) else []


def load(experiment: str, settings: Sequence[str] = ()) -> Experiment:
    """An experiment, from a module's name or a file's path, at the first of its sizes unless
    another follows a colon."""
    name, _, size = experiment.partition(":")
    module = load_file(Path(name)) if name.endswith(".py") else load_module(name)
    if not callable(getattr(module, "runs", None)):
        raise CommandError(f"{name} defines no function runs() -> list[RunConfig]")
    sizes = sizes_of(module)
    if size and size not in sizes:
        has = f"its sizes are {', '.join(sizes)}" if sizes else "it has one size only"
        raise CommandError(f"{experiment}: {name} has no size {size!r}; {has}")
    return Experiment(module, size or (sizes[0] if sizes else ""), tuple(settings))


def load_file(path: Path) -> ModuleType:
    if not path.exists():
        raise CommandError(f"{path}: no such file")
    folder, name = path.parent.resolve(), path.stem
    userfile.FOLDERS.insert(0, folder)
    while (folder / "__init__.py").exists():  # of a package: its folder's names would hide installed ones
        folder, name = folder.parent, f"{folder.name}.{name}"
    sys.path.insert(0, str(folder))
    with errors_with_place():
        if "." in name:
            return importlib.import_module(name)
        spec = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(spec)
        kept = sys.modules.setdefault(name, module)  # dataclasses look there; another's name stays its own
        try:
            spec.loader.exec_module(module)
        except BaseException:
            if kept is module:
                del sys.modules[name]
            raise
    return module


def load_module(name: str) -> ModuleType:
    sys.path.insert(0, os.getcwd())
    try:
        if name.startswith(".") or not name:
            raise ModuleNotFoundError
        with errors_with_place():
            return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and not name.startswith(error.name):
            raise
        known = {path.stem: f"experiments.{path.stem}" for path in Path("experiments").glob("*.py")}
        close = difflib.get_close_matches(name.replace("/", ".").rpartition(".")[2], known, 1)
        meant = f" (was {known[close[0]]} meant?)" if close else ""
        raise CommandError(
            f"{name!r}: no such module here{meant}; name one such as experiments.quickstart, or a file "
            "ending in .py"
        ) from error


def with_settings(configs: Sequence[RunConfig], settings: Sequence[str]) -> list[RunConfig]:
    """Every run with its fields replaced, and branches on trunks of their new fields."""
    cells = [config for config in configs if not config.trunk]
    changed = [override(replace(config, init_from=""), *settings) for config in cells]
    joined = [new for old, new in zip(cells, changed, strict=True) if old.init_from]
    return grid.branched(joined) + changed
