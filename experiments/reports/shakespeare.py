"""What grids on Shakespeare share: its text as bytes, a batch, and the rule of their learning rates."""

from lab.config import DataConfig
from lab.data import corpora

CORPORA = ("shakespeare", "python-stdlib")
BATCH_TOKENS = 1024


def text(max_epochs: float = 4.0) -> DataConfig:
    """Shakespeare as bytes, or Python's own sources where it can't be had."""
    corpus = corpora.prepare_first(CORPORA)
    return DataConfig(
        sha256=corpus.sha256,
        corpus=corpus.name,
        tokenizer="bytes",
        train_tokens=corpus.n_train,
        max_epochs=max_epochs,
    )


def rule(params: int) -> float:
    """The peak rate of a size (hidden + readout): near the best of experiments/rates.py."""
    return 0.013 * (params / 2e4) ** -0.42
