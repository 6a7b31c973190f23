"""Fields of a run replaced by text: what `--set FIELD=VALUE` does, and says of a slip."""

import difflib
import json
from dataclasses import asdict
from typing import Any

from lab.config import RunConfig, from_json, userfile

CALLED = {  # what people call fields, by their words: of a path that names none
    "learning_rate": "lr rate peak_lr",
    "weight_decay": "wd decay",
    "clip": "grad_clip",
    "warmup_fraction": "warmup",
    "batch_tokens": "bs batch batch_size",
    "d_model": "width hidden_size",
    "n_layer": "depth layers n_layers",
    "n_head": "heads",
    "seq_len": "ctx context context_length",
    "vocab_size": "vocab",
    "optimizer": "opt",
}
SHORT = {word: field for field, words in CALLED.items() for word in words.split()}


def override(config: RunConfig, *assignments: str) -> RunConfig:
    """The config with fields replaced, each from text such as `optim.learning_rate=0.01`."""
    tree = asdict(config)
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        if not equals:
            raise ValueError(f"--set {assignment}: write it as FIELD=VALUE, such as optim.clip=0.5")
        *parents, leaf = path.strip().split(".")
        node = tree
        for name in parents:
            node = node.get(name) if isinstance(node, dict) else None
        if not isinstance(node, dict) or leaf not in node or isinstance(node[leaf], dict):
            raise ValueError(f"--set {assignment}: {no_field(path.strip(), tree)}")
        try:
            value = json.loads(text)
            node[leaf] = text if isinstance(value, dict) else value  # of `settings`
        except json.JSONDecodeError:
            node[leaf] = userfile.name(text) if userfile.is_named(text) else text
    return from_json(tree, where="--set ")


def no_field(path: str, tree: dict[str, Any]) -> str:
    """What is said of a path that names no field of a run."""
    parts = {name: list(value) for name, value in tree.items() if isinstance(value, dict)}
    if path in parts:
        return f"{path!r} is a part of a run; name a field of it, such as {path}.{parts[path][0]}"
    known = [name for name in tree if name not in parts]
    known += [f"{part}.{name}" for part, names in parts.items() for name in names]
    leaf = path.rpartition(".")[2]
    same = [name for name in known if name.rpartition(".")[2] in (leaf, SHORT.get(leaf.lower()))]
    inside = [name for name in known if name.rpartition(".")[0] == path.rpartition(".")[0]]
    meant = (
        same or difflib.get_close_matches(path, inside, 1, 0.75) or difflib.get_close_matches(path, known, 1)
    )
    return f"a run has no field {path!r}" + (
        f"; was {meant[0]} meant?" if meant else f"; it has {', '.join(known)}"
    )
