"""What `plan` and `run` say of a grid that is trained as asked but may not be what was meant."""

from collections.abc import Sequence
from typing import Any

from lab.config import RunConfig, from_json
from lab.config.fields import essence
from lab.models import counts
from lab.store import files
from lab.store.store import Store

NEAR = 0.1  # share by which a run's FLOPs may miss its budget
MOST = 200  # stopped runs that are looked at


def notes(store: Store, configs: Sequence[RunConfig]) -> list[str]:
    """A line each on masks under causal attention, on budgets that are not the runs' FLOPs, and on stopped
    runs that differ in one field."""
    return [
        f"note: {line}"
        for line in (
            masked_causally(configs),
            stale_budgets(configs),
            seen_again(configs),
            hardly_trained(configs),
            begun_otherwise(store, configs),
        )
        if line
    ]


def masked_causally(configs: Sequence[RunConfig]) -> str:
    """That masked tokens are told from what stands before them alone, where BERT looks both ways; or ""."""
    masked = [c.model for c in configs if c.objective == "masked" and c.model.kind in ("transformer", "moe")]
    if not any("causal" not in model.settings for model in masked):
        return ""
    return (
        "objective 'masked' with causal attention tells a hidden token from those before it alone; as BERT "
        "does it, from both sides: settings={'causal': False}"
    )


def seen_again(configs: Sequence[RunConfig]) -> str:
    """That runs go over their text more than once; or ""."""
    epochs = [config.epochs for config in configs if config.epochs > 1.005]
    if not epochs:
        return ""
    return (
        f"{len(epochs)} of {len(configs)} runs see their text again (up to {max(epochs):.2g} times): "
        "a law takes that as new text"
    )


def hardly_trained(configs: Sequence[RunConfig]) -> str:
    """That learning rates never reach their peak, or are 0 from some update on; or ""."""
    low = [config for config in configs if config.warmup_steps > config.steps and not config.trunk_id]
    over = [
        config
        for config in configs
        if config.optim.schedule != "constant"
        and not config.optim.final_fraction
        and max(config.horizon_steps, config.warmup_steps + 1) < config.steps
    ]
    words = []
    if low:
        words.append(
            f"{len(low)} of {len(configs)} runs end inside their warm-up (of up to "
            f"{max(config.warmup_steps for config in low)} updates), below their learning rate"
        )
    if over:
        words.append(
            f"{len(over)} of {len(configs)} runs have a learning rate of 0 from some update on, the first "
            f"from {max(over[0].horizon_steps, over[0].warmup_steps + 1)} of {over[0].steps} (horizon_steps)"
        )
    return "; ".join(words)


def stale_budgets(configs: Sequence[RunConfig]) -> str:
    """That budgets are no longer what runs cost, as where --set replaced a vocabulary or a width; or ""."""
    ratios = [counts.run_flops(config) / config.budget for config in configs if config.budget]
    off = [ratio for ratio in ratios if abs(ratio - 1) > NEAR]
    if not off:
        return ""
    return (
        f"{len(off)} of {len(ratios)} runs cost {min(off):.3g} to {max(off):.3g} times their budget (--set "
        "replaces no budget, and a run has a whole number of batches): cells of one budget no longer cost "
        "the same; analysis goes by their FLOPs"
    )


def begun_otherwise(store: Store, configs: Sequence[RunConfig]) -> str:
    """That a grid begins runs anew which stopped under another value of one field; or ""."""
    wanted = {config.run_id for config in configs}
    new = [flat(essence(config)) for config in configs if not store.folder(config.run_id).exists()]
    if not new or not store.root.is_dir():
        return ""
    changed: dict[str, list[tuple[Any, Any]]] = {}
    folders = [path.parent for path in store.root.glob("*/config.json") if path.parent.name not in wanted]
    for folder in [folder for folder in folders if not (folder / "record.json").exists()][:MOST]:
        if not store.newest_checkpoint(folder.name):
            continue
        try:
            there = flat(essence(from_json(files.read_json(folder / "config.json") or {})))
        except (ValueError, files.StoreError):
            continue
        for here in new:
            differ = [name for name in {*there, *here} if there.get(name) != here.get(name)]
            if len(differ) == 1:
                changed.setdefault(differ[0], []).append((there.get(differ[0]), here.get(differ[0])))
                break
    if not changed:
        return ""
    name, pairs = max(changed.items(), key=lambda item: len(item[1]))
    before, now = pairs[0]
    several = len(pairs) > 1
    return (
        f"{len(pairs)} stopped run{'s' * several} in {store.root} differ{'s' * (not several)} from this grid "
        f"in {name} alone ({shown(before)} there, {shown(now)} here): another {name} is another run, which "
        "begins at its first update"
    )


def shown(value: Any) -> str:
    return "its default" if value is None else str(value)


def flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Leaves by their dotted names."""
    leaves: dict[str, Any] = {}
    for name, value in tree.items():
        leaves |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return leaves
