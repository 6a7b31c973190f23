"""Runs trained in this process, for tests of what is done with a run afterwards."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax

from lab.config import DataConfig, ModelConfig, OptimConfig, RunConfig, Shape
from lab.data import corpora
from lab.store.store import Store
from lab.train.keeper import Keeper
from lab.train.lanes import Lanes
from lab.train.loop import Crew
from lab.train.run import Job

TEXT = "".join(f"{n} sheep jump over the fence and {n + 1} stay behind.\n" for n in range(3000))


@dataclass
class Trainer:
    """How runs are trained in this process."""

    store: Store
    devices: Sequence[jax.Device]
    way: str = "jit"
    save_seconds: float = 15.0
    stopping: Callable[[], bool] = lambda: False

    def job(self, config: RunConfig, corpus: Callable, claim) -> Job:
        return Job(config, corpus, lambda: Keeper(self.store, config, claim, self.save_seconds, str))

    def crew(self, shape: Shape, offer: Callable, ended: Callable, each: int = 0) -> Crew:
        return Crew(Lanes(shape, self.way, tuple(self.devices), each), offer, ended, self.stopping)


def train(trainer: Trainer, config: RunConfig, corpus, claim) -> dict | None:
    """A claimed run by itself: what its record will hold, or None when it was stopped."""
    jobs, outcomes = iter([trainer.job(config, lambda: corpus, claim)]), []
    trainer.crew(config.shape, lambda: next(jobs, None), lambda _, last: outcomes.append(last)).train()
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
