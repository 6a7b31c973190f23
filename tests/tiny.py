"""A grid of four runs on a synthetic language, seconds long: 2 budgets x 2 sizes."""

from lab.config import DataConfig, OptimConfig
from lab.data import corpora
from lab.plan import grid


def runs():
    corpus = corpora.prepare("markov:8-1-3-0", quiet=True)
    data = DataConfig(sha256=corpus.sha256, corpus=corpus.name, train_tokens=corpus.n_train)
    sizes = grid.ladder([(1, 8, 1), (1, 16, 1)], vocab_size=8, seq_len=16, position="learned")
    return grid.isoflop(
        {4e8: sizes, 8e8: sizes},
        data=data,
        batch_tokens=256,
        optim=lambda model, tokens: OptimConfig(learning_rate=0.01),
    )
