"""A law by what a command line calls it: a name of `LAWS`, or FILE.py:CLASS of somebody's own."""

import importlib.util
import sys
from difflib import get_close_matches
from pathlib import Path

from analysis.laws import LAWS, Chinchilla, Law

AUTO = "auto"  # the form that forecasts best (analysis.fitting.select)


def find_law(text: str) -> type[Law]:
    """The class of a law; of "auto" Chinchilla's, whose inputs and output all its forms have. A file is run
    only where its user names it, here.

    Raises:
      ValueError: no such law, file or class, or a class that is no `Law`.
    """
    if text == AUTO:
        return Chinchilla
    if text in LAWS:
        return LAWS[text]
    path, _, name = text.rpartition(":")
    if not path.endswith(".py"):
        near = get_close_matches(text, LAWS, 1)
        meant = f"; did you mean {near[0]}?" if near else ""
        raise ValueError(
            f"there is no law {text!r}{meant} (one of {AUTO}, {', '.join(LAWS)}, or FILE.py:CLASS)"
        )
    if not Path(path).is_file():
        raise ValueError(f"law {text!r}: there is no file {path}")
    spec = importlib.util.spec_from_file_location(f"law_file_{Path(path).stem}", path)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)  # as dataclasses look it up
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ValueError(f"law {text!r}: {path} cannot be read: {type(error).__name__}: {error}") from error
    law = getattr(module, name, None)
    if not (isinstance(law, type) and issubclass(law, Law) and law is not Law):
        classes = [name for name, value in vars(module).items() if isinstance(value, type)]
        raise ValueError(
            f"law {text!r}: {name!r} is no class of analysis.laws.Law; {path} has {', '.join(classes)}"
        )
    if not (law.names() and hasattr(law, "inputs") and hasattr(law, "grid")):
        raise ValueError(f"law {text!r}: it wants @dataclass(frozen=True), parameters, inputs and a grid")
    return law
