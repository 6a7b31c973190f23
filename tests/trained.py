"""Runs trained in this process, for tests of what is done with a run afterwards."""

import jax

from lab.config import DataConfig, ModelConfig, OptimConfig, RunConfig
from lab.data import corpora
from lab.store.store import Store
from lab.train.loop import Crew, Trainer
from lab.train.run import Job

TEXT = "".join(f"{n} sheep jump over the fence and {n + 1} stay behind.\n" for n in range(3000))


def train(trainer: Trainer, config: RunConfig, corpus, claim) -> dict | None:
    """A claimed run by itself: what its record will hold, or None when it was stopped."""
    jobs, outcomes = iter([Job(config, lambda: corpus, claim)]), []
    Crew(trainer, config.shape, 0, lambda: next(jobs, None), lambda _, last: outcomes.append(last)).train()
    if isinstance(outcomes[0], Exception):
        raise outcomes[0]
    return outcomes[0]


def finished(store: Store, config: RunConfig) -> dict:
    """Train a run and write its record, as a worker does."""
    claim = store.claim(config)
    trainer = Trainer(store, jax.local_devices()[:1])
    record = train(trainer, config, corpora.open_corpus(config.data.corpus), claim)
    store.write_record(config.run_id, record)
    claim.release()
    return record


def on_sheep(folder, **model) -> RunConfig:
    """A small LSTM on bytes of a text of sheep that lies in `folder`; $LAB_DATA says where what is
    prepared of it goes."""
    (folder / "sheep.txt").write_text(TEXT)
    corpus = corpora.prepare(f"text:{folder / 'sheep.txt'}", quiet=True)
    shape = {"kind": "lstm", "d_model": 32, "n_layer": 1, "n_head": 1, "seq_len": 16}
    return RunConfig(
        model=ModelConfig(**(shape | model), vocab_size=256),
        optim=OptimConfig(learning_rate=0.03),
        tokens=150 * 256,
        batch_tokens=256,
        data=DataConfig(sha256=corpus.sha256, corpus=corpus.name, train_tokens=corpus.n_train),
    )
