"""Which column plays which role: as named by the user, else by its header, else refused or said.

A header is read without its unit, its capitals and its path (`eval/loss`); where two columns fit a
role equally well none is taken, and the message that asks for the role names both.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from analysis.tables import units
from analysis.tables.files import listed

ALIASES = {
    "params": (
        "params",
        "n_params",
        "N",
        "parameters",
        "num_params",
        "num_parameters",
        "model_params",
        "param_count",
        "model_size",
        "n_parameters",
        "nparams",
    ),
    "tokens": (
        "tokens",
        "n_tokens",
        "D",
        "num_tokens",
        "training_tokens",
        "train_tokens",
        "tokens_seen",
        "token_count",
        "total_tokens",
        "ntokens",
        "dataset_size",
    ),
    "flops": (
        "flops",
        "C",
        "compute",
        "flop",
        "training_flops",
        "train_flops",
        "total_flops",
        "n_flops",
        "training_flop",
        "training_compute",
        "train_compute",
    ),
    "loss": (
        "loss",
        "L",
        "val_loss",
        "validation_loss",
        "eval_loss",
        "test_loss",
        "final_loss",
        "loss_val",
        "cross_entropy",
        "train_loss",
        "training_loss",
    ),
    "budget": (
        "budget",
        "flops_budget",
        "flop_budget",
        "compute_budget",
        "budget_flops",
        "isoflop",
        "isoflop_budget",
    ),
}
COUNT = r"(?:(?:n|nb|nr|num|no|number|count|of|total|model|size)_)*"
PATTERNS = {
    "params": COUNT + r"(?:non_?embed(?:ding)?s?_|active_|trainable_)?(?:params?|parameters?)"
    r"(?:_(?:count|total|num|no_embed|non_?embed(?:ding)?s?))?",
    "tokens": COUNT + r"(?:train(?:ing)?_|pretrain(?:ing)?_|consumed_|seen_|data_|total_)*tokens?"
    r"(?:_(?:count|total|num|seen|trained|consumed|processed))?"
    r"|(?:data|dataset|training_set)_size|d_tokens",
    "flops": COUNT + r"(?:train(?:ing)?_|pretrain(?:ing)?_|compute_|achieved_|total_)*"
    r"(?:flops?|compute)(?:_(?:count|total|num|used|in_flops?))?",
    "budget": r"(?:(?:target|nominal|isoflops?|compute|training|train|flops?|c)_)*"
    r"(?:budget|isoflops?)(?:_(?:flops?|compute|group|level))?|(?:target|nominal)_flops?",
}
LOSSES = {"loss", "nll", "xent"}
BITS = {"bpb", "bits_per_byte"}
USUAL = set(
    "final val valid validation eval evaluation test heldout held out dev mean avg average lm ema "
    "smoothed last ce cross entropy token per nats bits".split()
)
NOT_A_LOSS = set(
    "se sd std stderr sem low high lower upper min max ci opt var delta diff gap ratio scale "
    "weight fn function type kind name aux z router balance balancing lb load excess reducible "
    "irreducible regularization reg kl predicted pred fit fitted target budget".split()
)
WIDTHS = ("d_model", "width", "hidden_dim", "hidden_size", "n_embd", "d_hidden", "embed_dim")
DEPTHS = ("n_layers", "n_layer", "num_layers", "depth", "layers", "num_hidden_layers")
NAMES = ("model", "model_name", "name", "size", "run", "run_name", "config", "model_id", "run_id")


@dataclass(frozen=True)
class Roles:
    """`columns` by role, the `factors` of their units, `notes` on what was taken for what, and by
    role the `doubts` for which none was."""

    columns: dict[str, str] = field(default_factory=dict)
    factors: dict[str, tuple[float, str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    doubts: dict[str, str] = field(default_factory=dict)
    loss_unit: str = "nats/token as in the table"


def assign(
    source: str, names: Iterable[str], given: Mapping[str, str | None], usable=lambda name: True
) -> Roles:
    """The roles of columns `names`: those of `given`, then by header among the `usable`.

    Raises:
      ValueError: a given column does not exist, or is given two roles.
    """
    names = list(names)
    roles = Roles()
    for role, name in given.items():
        if name is None:
            continue
        if name not in names:
            raise ValueError(
                f"{source}: there is no column {name!r} for --{role}; the columns are {listed(names)}"
            )
        other = next((r for r, n in roles.columns.items() if n == name), None)
        if other and ({role, other} <= set(ALIASES) or {role, other} == {"x", "y"}):
            raise ValueError(f"{source}: column {name!r} is given twice, as --{other} and as --{role}")
        roles.columns[role] = name
    taken = {name for role, name in roles.columns.items() if role in ALIASES}
    for role in ALIASES:
        if role not in roles.columns:
            choose(roles, role, [name for name in names if name not in taken], usable)
            taken |= {roles.columns.get(role, "")}
    for role in ("params", "tokens", "flops", "budget"):
        if role in roles.columns:
            _, size, unit = units.header(roles.columns[role])
            if size != 1:
                roles.factors[role] = (size, unit)
    if "loss" in roles.columns:
        return Roles(**{**vars(roles), "loss_unit": loss_unit(roles.columns["loss"])})
    return roles


def choose(roles: Roles, role: str, free: list[str], usable) -> None:
    """Take the best column for a role, with a note; or note that several are equally good. One that
    holds no number is taken only where it has the very name of the role."""
    fitting = sorted((fits(role, name), i, name) for i, name in enumerate(free))
    fitting = [one for one in fitting if one[0] < 99]
    ranked = [one for one in fitting if usable(one[2]) or (one[0] == 0 and role != "budget")]
    if not ranked:
        if fitting:
            roles.doubts[role] = (
                f"column {fitting[0][2]} holds no numbers, so it is not the {role}; "
                f"name the right one with --{role} COL"
            )
        return
    best = [name for rank, _, name in ranked if rank == ranked[0][0]]
    if len(best) > 1 and ranked[0][0] >= 50:
        roles.doubts[role] = (
            f"{len(best)} columns may be the {role}: {listed(best, 6)}; choose one with --{role} COL"
        )
        return
    chosen, *others = [name for _, _, name in ranked]
    roles.columns[role] = chosen
    shown = listed([name for name in others if normal(name) != "bits_per_byte"], 6)
    if chosen != role or shown:
        roles.notes.append(f"{role} = column {chosen}" + (f" (not {shown})" if shown else ""))


def fits(role: str, name: str) -> int:
    """How well a header fits a role: 0 is best, from 50 on only alone, 99 is not at all."""
    bare, size, _ = units.header(name)
    if bare in ALIASES[role] and len(bare) == 1:
        return ALIASES[role].index(bare)
    whole, last = normal(bare), normal(last_part(bare))
    aliases = [alias for alias in ALIASES[role] if len(alias) > 1]
    for word, worse in ((whole, 0), (last, 15)):
        if word in aliases and (role != "loss" or not worse):
            return ALIASES[role].index(word) + worse
        if role != "loss" and re.fullmatch(PATTERNS[role], word):
            return 30 + worse
    return loss_rank(whole, last) if role == "loss" and size == 1 else 99


def loss_rank(whole: str, last: str) -> int:
    """As `fits`, of headers with a loss in them: Final Val Loss, paloma/c4_en/bpb."""
    if whole in BITS or last in BITS:
        return 70 if whole in BITS else 71
    said = set(last.replace("cross_entropy", "xent").split("_"))
    if not LOSSES & said or NOT_A_LOSS & said:
        return 99
    rest = set(whole.replace("cross_entropy", "xent").split("_")) - LOSSES - USUAL
    if rest & {"train", "training"}:
        return 60
    return 51 if rest else 40


def last_part(name: str) -> str:
    """eval/loss -> loss; but tokens/param is a ratio and stays whole."""
    parts = [part for part in re.split(r"[/.]", name) if part]
    known = {alias.lower() for aliases in ALIASES.values() for alias in aliases} | {"param", "token"}
    if len(parts) < 2 or normal(parts[-1]) in {"param", "token", "step", "s", "sec"}:
        return name
    return name if any(normal(part) in known for part in parts[:-1]) else parts[-1]


def normal(name: str) -> str:
    """A header in lower case with one underscore between words: # Params, nParams -> n_params."""
    text = re.sub(r"^#\s*", "n_", name.strip())
    text = re.sub(r"(?<=[a-z0-9])(?=[A-Z][a-z])", "_", text)
    return re.sub(r"[\W_]+", "_", text.lower()).strip("_")


def loss_unit(name: str) -> str:
    """The unit of a loss, as its header states it."""
    unit = normal(units.header(name)[2])
    if normal(last_part(units.header(name)[0])) in BITS or unit in {"bpb", "bits_byte", "bits_per_byte"}:
        return "bits/byte"
    if unit.startswith("bit"):
        return "bits/token"
    if unit.startswith("nat"):
        return "nats/byte" if "byte" in unit else "nats/token"
    return "nats/token as in the table"


def find(names: Iterable[str], wanted: Iterable[str]) -> str | None:
    """The first column whose header, or the last part of its path, is one of `wanted`."""
    by_name = {}
    for name in reversed(list(names)):
        by_name[normal(last_part(name))] = name
    return next((by_name[word] for word in wanted if word in by_name), None)


def sizes(columns: Mapping) -> tuple[np.ndarray, str] | None:
    """Parameters (R,) where no column counts them, and where they are from: sizes in names
    (chinchilla-74M), or width and depth; None where neither is there."""
    for name in columns:
        if normal(name) in NAMES and columns[name].dtype == object:
            found = units.named_sizes(columns[name].tolist())
            if found is not None and len(set(found)) > 1:
                return found, f"sizes named in column {name!r}, rounded as they are"
    width, depth = find(columns, WIDTHS), find(columns, DEPTHS)
    if width and depth and object not in (columns[width].dtype, columns[depth].dtype):
        found = 12.0 * columns[depth] * columns[width] ** 2
        said = f"12·{depth}·{width}² without embeddings (Kaplan et al. 2020, eq. 2.1)"
        return found, said
    return None
