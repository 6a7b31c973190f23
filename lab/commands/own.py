"""Files of the user's own before a grid is planned or trained: what changed since, and are they usable?"""

import sys
from collections.abc import Sequence
from dataclasses import fields

from lab.commands.experiment import errors_with_place
from lab.config import NEXT_TOKEN, ModelConfig, RunConfig, userfile
from lab.config.fields import static_part
from lab.data import corpora
from lab.data.corpus import check_ids
from lab.data.texts import CorpusError
from lab.models import counts
from lab.store import contents
from lab.store.store import Store


def look_over(store: Store, configs: Sequence[RunConfig]) -> None:
    """Say which files changed since runs of the store were made, and check the smallest model of each
    kind and setting, and each optimiser.

    Raises:
      ValueError: a model or an optimiser is not what the lab takes it for.
      CommandError: its code fails.
    """
    look_at_attention(configs)
    look_at_text(configs)
    if any(userfile.is_named(value) for config in configs for value in values(config)):
        print("".join(f"{line}\n" for line in changes(store, configs)), end="")
        with errors_with_place():
            check(configs)


def changes(store: Store, configs: Sequence[RunConfig]) -> list[str]:
    """A line on each file of the user's own that has changed since runs of the store were made with it."""
    named = {value for config in configs for value in values(config) if userfile.is_named(value)}
    before, lines = contents.own_files(store) if named and store.root.is_dir() else {}, []
    for value in sorted(named):
        title = value.partition("@")[0]
        others = sum(n for other, n in before.items() if other.partition("@")[0] == title and other != value)
        if others and value not in before:
            lines.append(
                f"note: {title} has changed since {others} runs of this store were made: they are kept under "
                "their ids, and those of the file as it is are new runs"
            )
    return lines


def look_at_attention(configs: Sequence[RunConfig]) -> None:
    """Refuse models that see what they are to tell; asked of those alone that may look ahead.

    Raises:
      ValueError: there is one.
    """
    pairs = {(c.objective, c.model) for c in configs if looks_ahead(c.model)}
    if pairs:
        from lab.train import objectives

        with errors_with_place():
            for objective, model in sorted(pairs, key=str):
                objectives.check_attention(objective, model)


def look_at_text(configs: Sequence[RunConfig]) -> None:
    """Refuse models that have no place for an id of their text or for a mark of their objective, and
    objectives that make no examples; asked of the corpora that are here.

    Raises:
      ValueError: there is one.
      CommandError: the code of an objective fails.
    """
    alike = {(c.data.sha256, c.model.vocab_size, c.model.seq_len, c.objective): c for c in configs}
    for (sha256, _, _, objective), config in alike.items():
        try:
            corpus = corpora.open_corpus(config.data.corpus, config.data.tokenizer, sha256)
        except CorpusError:
            continue  # a worker tells it, where it is trained
        check_ids(config, corpus)
        if objective != NEXT_TOKEN:
            from lab.train import objectives

            with errors_with_place():
                objectives.check(objective, config.model, corpus.vocab_size)


def looks_ahead(model: ModelConfig) -> bool:
    words = ("causal", "prefix")
    return model.is_own or model.kind == "encoder_decoder" or any(word in model.settings for word in words)


def check(configs: Sequence[RunConfig]) -> None:
    """Each kind and setting of a model of the user's own, at its shallowest and smallest, which compiles
    soonest; each optimiser of their own."""
    own = dict.fromkeys(config.model for config in configs if config.model.is_own)
    smallest = {}
    for model in sorted(own, key=lambda model: (model.n_layer, counts.count_params(model).total)):
        smallest.setdefault((model.kind, model.settings), model)
    for model in smallest.values():
        from lab.models import check

        print(f"checking {model.kind} ({model.name}), which compiles it", file=sys.stderr, flush=True)
        print(f"own: {check.check(model)}")
    for optim, model in {static_part(c.optim): c.model for c in configs}.items():
        if userfile.is_named(optim.optimizer):
            from lab.train import optimizers

            optimizers.check(model, optim)


def values(config: RunConfig) -> list:
    return [
        getattr(part, item.name) for part in (config.model, config.optim, config) for item in fields(part)
    ]
