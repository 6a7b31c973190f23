"""Losses that no model can reach: below the entropy of a synthetic language, where that is computed."""

from collections.abc import Mapping
from typing import Any

from lab.config import NEXT_TOKEN, RunConfig
from lab.data.languages import LANGUAGES, parse_language

FEW = 20  # windows of held-out text, of which a standard error says too little
FAR = 4  # standard errors that the text which happens to be held out does not explain


def floor(config: RunConfig) -> float | None:
    """The least mean loss of windows of a model that tells each token from those before it, in nats a
    token; None where it isn't known."""
    if config.data.corpus.partition(":")[0] not in LANGUAGES or config.objective != NEXT_TOKEN:
        return None
    language, _ = parse_language(config.data.corpus)
    try:
        return language.floor(config.model.seq_len)
    except ValueError:  # windows that cut sentences know less than whole ones: it can't be lower
        return language.entropy_rate


def too_low(config: RunConfig, record: Mapping[str, Any]) -> str:
    """What a finished run's loss is below, where no noise of its held-out text explains it; "" else."""
    loss, error, seen = (record.get(name) for name in ("loss", "loss_se", "held_out_tokens"))
    if record.get("status") != "done" or None in (loss, error, seen) or seen < FEW * config.model.seq_len:
        return ""
    least = floor(config)
    if least is None or loss >= least - FAR * error:
        return ""
    return (
        f"run {config.run_id} ends at {loss:.4f} nats/token (± {error:.4f}), below the entropy of "
        f"{config.data.corpus}, {least:.4f}: it sees what it is to tell. Does its model look ahead, or does "
        "its code count targets otherwise?"
    )
