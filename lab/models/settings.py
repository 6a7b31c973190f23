"""What a kind of model can be told beyond what all share: `ModelConfig.settings`, as its own dataclass."""

import dataclasses
import json
from typing import Any

from lab.config import ModelConfig
from lab.config.fields import plain


def settings(cfg: ModelConfig, kind: type) -> Any:
    """The config's settings as the dataclass `kind` that its kind of model brings."""
    given = json.loads(cfg.settings) if cfg.settings else {}
    return kind(**{item.name: given[item.name] for item in dataclasses.fields(kind) if item.name in given})


def check_settings(cfg: ModelConfig, kind: type | None) -> None:
    """Refuse settings that the kind of model has not, or that are written in a second way.

    Raises:
      ValueError: an unknown name, a value of another type, or one at its default.
    """
    given = json.loads(cfg.settings) if cfg.settings else {}
    known = {item.name: item for item in dataclasses.fields(kind)} if kind else {}
    for name, value in given.items():
        where = f"settings of {cfg.kind}: {name}={value!r}"
        if name not in known:
            raise ValueError(f"{where}, and it has {', '.join(known) or 'no settings'}")
        if type(plain(value, known[name].type, where)) is not type(value):
            raise ValueError(f"{where} is written {known[name].type(value)!r}")
        if value == known[name].default:
            raise ValueError(f"{where} is what it is anyway: leave it out, so that equal runs have equal ids")
