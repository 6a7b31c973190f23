"""The final weights of a finished run, read from its last checkpoint; nothing is written.

A run's last state is saved before its record is written and stays in the store: 12 bytes a weight.
"""

from dataclasses import dataclass
from typing import Any

import jax

from lab.config import ModelConfig, RunConfig
from lab.data.corpora import Corpus, open_corpus
from lab.models import tree
from lab.store.contents import find
from lab.store.files import StoreError, sha256
from lab.store.store import Store
from lab.train import optimizers, step
from lab.train.checkpoint import Checkpoints, checksums, first_line


@dataclass(frozen=True)
class Trained:
    """A finished run: what it was, what it reached and what it became."""

    config: RunConfig
    record: dict[str, Any]
    params: tree.Params  # on the host

    @property
    def sha256(self) -> str:
        """Of the weights: of each one's type, shape and bytes."""
        leaves = {str(i): leaf for i, leaf in enumerate(jax.tree.leaves(self.params))}
        return sha256("".join(checksums(leaves).values()))

    def corpus(self) -> Corpus:
        """The prepared corpus it was trained on, exactly that one."""
        data = self.config.data
        return open_corpus(data.corpus, data.tokenizer, data.sha256)


def read(store: Store, prefix: str, any_objective: bool = False) -> Trained:
    """A finished run with its final weights.

    Args:
      any_objective: also of a run that did not learn what follows a text.

    Raises:
      StoreError: it is not done, its objective another, or its last checkpoint is gone or damaged.
    """
    config = find(store, prefix)
    run_id, record = config.run_id, store.record(config.run_id)
    if not record or record["status"] != "done":
        status = store.status(run_id)
        raise StoreError(f"run {run_id} is {status}, and only a run that is done has final weights")
    if config.objective in ("masked", "span_corruption") and not any_objective:
        raise StoreError(
            f"run {run_id} learned {config.objective!r}, and what follows a text is not what it tells"
        )
    folder, last = store.folder(run_id) / "checkpoints", record["steps"]
    again = f"delete {store.folder(run_id)} and run its experiment again to have them made anew"
    if not (folder / str(last)).is_dir():
        raise StoreError(
            f"{folder} has no checkpoint of update {last}, the last of run {run_id}: its final "
            f"weights are not here; {again}"
        )
    like = abstract_state(config)
    checkpoints = Checkpoints(folder)
    try:
        state = checkpoints.read(last, like).state
    except MemoryError:
        raise
    except Exception as error:  # Orbax and TensorStore raise many kinds
        raise StoreError(
            f"{folder / str(last)} can't be read ({first_line(error)}): the final weights of run "
            f"{run_id} are lost, or the file system is; {again}"
        ) from error
    finally:
        checkpoints.close()
    params = optimizers.evaluated(config.optim, state.params, state.opt_state)
    return Trained(config, record, params)


def check_tells_all(cfg: ModelConfig) -> None:
    """Refuse a model that does not tell each token from those before it.

    Raises:
      ValueError: it reads the beginning of a window before it tells any.
    """
    if not tree.is_causal(cfg):
        raise ValueError(f"{cfg.name} sees what comes after a token, and this takes a model that does not")
    if source := tree.source(cfg):
        raise ValueError(
            f"{cfg.name} reads {source} tokens of a window before it tells any, and this takes a model that "
            "tells each token from those before it, such as a Transformer"
        )


def abstract_state(config: RunConfig) -> step.TrainState:
    """The shapes and types of a run's state."""
    hyper = step.hyper_of(config)
    return jax.eval_shape(lambda: step.init_state(config.shape, jax.random.key(0), hyper))
