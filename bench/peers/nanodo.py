"""NanoDO's own train step, from a checkout that the user names.

`nanodo.train` imports TensorFlow and other libraries for data and logs that its step never
touches; those that are not installed are replaced by empty modules.
"""

import importlib
import importlib.machinery
import sys
from types import ModuleType
from typing import Any, ClassVar

from bench.child import Work
from bench.peers import shapes

NOT_IN_THE_STEP = (
    "clu",
    "grain",
    "tensorflow",
    "tensorflow_datasets",
    "tensorflow_text",
    "sentencepiece",
    "absl",
)


class Nothing(ModuleType):
    """A module every attribute of which exists and is another such module."""

    __path__: ClassVar[list[str]] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Nothing(f"{self.__name__}.{name}")


class Finder:
    """Finds the libraries that are left out, and everything below them."""

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in NOT_IN_THE_STEP:
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec):
        return Nothing(spec.name)

    def exec_module(self, module):
        pass


class Config(dict):
    """What NanoDO takes a ConfigDict for."""

    __getattr__ = dict.__getitem__


def prepare(task: dict[str, Any]) -> Work:
    sys.path.insert(0, task["folder"])
    sys.meta_path.append(Finder())  # last: asked only for what is not installed
    import jax
    from jax.sharding import Mesh
    from nanodo import model_factory, train

    shape = shapes.shape_of(task)
    config = Config(
        model=Config(
            D=shape.width,
            H=shape.heads,
            L=shape.context,
            N=shape.layers,
            F=4 * shape.width,
            dtype=task["dtype"],
            fsdp_enabled=True,
            remat=False,
        ),
        opt=Config(
            num_train_steps=100_000,
            peak_learning_rate=shapes.LEARNING_RATE,
            init_learning_rate=shapes.LEARNING_RATE / 10,
            warmup_steps=1000,
            final_learning_rate=shapes.LEARNING_RATE / 10,
            decay_type="cosine",
            weight_decay=shapes.WEIGHT_DECAY,
            clip_by_global_norm=shapes.CLIP,
            b1=shapes.BETAS[0],
            b2=shapes.BETAS[1],
            optimizer="adamw",
        ),
        log_internal_metrics=False,  # its default is True, and slower
    )
    mesh = Mesh(jax.devices()[:1], ("data",))
    module, get_loss_fn = model_factory.get_model_and_loss(config, shape.vocab)
    shardings, state = train._init_train_state(config, module, jax.random.PRNGKey(0), mesh)
    trainer = train.Trainer(config, state, mesh, shardings, get_loss_fn)
    data = shapes.batches(shape)[..., :-1]
    losses, made = [], 0

    def do(n: int) -> None:
        nonlocal made
        for _ in range(n):
            trainer.state, metrics = trainer.step_fn(trainer.state, data[made % len(data)])
            made += 1
        losses.append(float(metrics["train_loss"]))
        jax.block_until_ready(trainer.state.params)

    total = sum(leaf.size for leaf in jax.tree.leaves(trainer.state.params))
    return Work(
        do, shape.tokens, {"params_all": total}, lambda: {"first_loss": losses[0], "loss": losses[-1]}
    )
