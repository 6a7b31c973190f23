"""Grids of runs: every combination, or budgets of equal compute; how they group; what they cost."""

import itertools
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

from lab.config import DataConfig, ModelConfig, RunConfig, Shape
from lab.config.fields import declared
from lab.data import batches, mixtures
from lab.models import counts
from lab.plan import trunk

# What a run is assumed to take on one core while none has been timed. Of quickstart's runs, two at a time on
# two cores, each of 11 sizes (3,600 to 270,000 params) took .82 to 1.17 of it in the median.
CORE_FLOPS_PER_SECOND = 4e10  # of models from LARGE on
LARGE = 1.3e6  # FLOPs a token
SLOWER = 0.37  # the power of FLOPs a token by which smaller models are slower
SCORED = 65_536  # tokens' worth of training in the points of a run's curve, forward alone
RUN_SECONDS = 1.5  # to score all of the held-out text and to begin the next
COMPILE_SECONDS = 8  # of a small shape on one core


def product(base: RunConfig, **axes: Sequence[Any]) -> list[RunConfig]:
    """Every combination of values; an axis is named by its field, `model__d_model` inside a part.

    >>> product(base, optim__learning_rate=[1e-3, 2e-3], seed=range(3))  # doctest: +SKIP
    """
    return [
        with_fields(base, dict(zip(axes, values, strict=True)))
        for values in itertools.product(*axes.values())
    ]


def with_fields(base: RunConfig, values: dict[str, Any]) -> RunConfig:
    """`base` with fields replaced, the ones inside a part written `part__field`."""
    changes: dict[str, dict[str, Any]] = defaultdict(dict)  # by part, "" being the run itself
    for name, value in values.items():
        part, _, inner = name.rpartition("__")
        owner = getattr(base, part, None) if part else base
        if not is_dataclass(owner) or inner not in [item.name for item in fields(owner)]:
            raise ValueError(f"a run has no field {name!r}; a part's field is written part__field")
        changes[part][inner] = value
    whole = changes.pop("", {})
    parts = {part: replace(whole.get(part, getattr(base, part)), **inner) for part, inner in changes.items()}
    return replace(base, **(whole | parts))


def ladder(shapes: Iterable[tuple[int, int, int]], **common: Any) -> list[ModelConfig]:
    """Models from (n_layer, d_model, n_head), sorted by parameters (hidden + readout)."""
    models = [
        ModelConfig(n_layer=n_layer, d_model=d_model, n_head=n_head, **common)
        for n_layer, d_model, n_head in shapes
    ]
    return sorted(models, key=lambda model: counts.count_params(model).params)


def isoflop(
    budgets: dict[float, Sequence[ModelConfig]],
    *,
    data: DataConfig,
    optim: Any,
    batch_tokens: int,
    min_tokens: int = 0,
    seed: int = 0,
) -> list[RunConfig]:
    """For each budget of training FLOPs, each of its models on the tokens that use it up.

    Args:
      budgets: FLOPs (exact convention) -> the models trained at that cost.
      optim: a function (model, tokens) -> OptimConfig, so that the rate can follow the size.
      min_tokens: refuse cells below it: they tell of the plateau, not of the valley.

    Raises:
      ValueError: a cell falls under `min_tokens` or over the corpus's `max_epochs`.
    """
    runs, common = [], {"data": data, "batch_tokens": batch_tokens, "seed": seed, "data_seed": seed}
    for budget, models in budgets.items():
        for model in models:
            steps = max(1, round(budget / counts.flops_exact(model) / batch_tokens))
            tokens = steps * batch_tokens
            if tokens < min_tokens:
                raise ValueError(
                    f"budget {budget:.2g}: {describe_model(model)} would see {tokens:,} tokens, "
                    f"under min_tokens={min_tokens:,}; give this budget smaller models"
                )
            run = RunConfig(model=model, optim=optim(model, tokens), tokens=tokens, budget=budget, **common)
            check_data(run)
            runs.append(run)
    return runs


def nearest(ladder: Sequence[ModelConfig], params: float, budget: float, name: str) -> ModelConfig:
    """The model of the ladder `name` whose params are nearest to the optimum of a budget, in ratio.

    Raises:
      ValueError: the ladder ends more than a factor 1.5 before it.
    """
    sizes = [counts.count_params(model).params for model in ladder]
    if not min(sizes) / 1.5 < params < max(sizes) * 1.5:
        raise ValueError(
            f"the optimum at {budget:.3g} FLOPs is {params:.3g} params, and the ladder of {name} goes "
            f"from {min(sizes):,} to {max(sizes):,}; give it more shapes, or a budget nearer to the table's"
        )
    return min(zip(sizes, ladder, strict=True), key=lambda pair: abs(math.log(pair[0] / params)))[1]


def branched(cells: Iterable[RunConfig]) -> list[RunConfig]:
    """Cells of a constant rate with a cool-down, trained as branches of shared trunks: the trunks,
    then the cells in their order. Cells that differ in `tokens` and in how they cool down alone
    share one trunk. The cells' run_ids and losses are those of the cells trained each on its own,
    to the last bit; see `trunk`.

    Raises:
      ValueError: a cell has no constant part, or its warm-up depends on its length.

    >>> branched(product(base, model=sizes, tokens=[2e6, 3e6, 4e6]))  # doctest: +SKIP
    """
    return trunk.plan(unique(cells))


def check_data(config: RunConfig) -> None:
    """Refuse a run that repeats its data more often than its corpus allows, or has no window of it."""
    data = config.data
    if data.unique_tokens and data.corpus.startswith(mixtures.PREFIX):
        raise ValueError(f"unique_tokens={data.unique_tokens}: {mixtures.NO_LIMIT}")
    if data.train_tokens:
        batches.n_windows(data.train_tokens, config.model.seq_len, data.unique_tokens or None)
    if data.train_tokens and config.epochs > data.max_epochs + 0.005:
        raise ValueError(
            f"run {config.run_id} ({describe_model(config.model)}) needs {config.tokens:,} tokens, "
            f"{config.epochs:.2f} epochs of the {data.available_tokens:,} it may use of "
            f"{data.corpus!r}, and max_epochs={data.max_epochs:g}; use a larger model at this "
            "budget, a larger corpus, or raise data.max_epochs"
        )


def describe_model(model: ModelConfig) -> str:
    return f"{model.name}, N={counts.count_params(model).params:,}"


def unique(configs: Iterable[RunConfig]) -> list[RunConfig]:
    """One config a run_id, in order; a grid may name a run twice but never trains it twice. One
    that is a cell and a trunk is a cell; one that is a branch once is a branch.

    Raises:
      ValueError: two configs whose ids differ and whose numbers can't: one run written in two ways,
        whose copy would pass for an independent repeat.
    """
    by_id: dict[str, RunConfig] = {}
    by_numbers: dict[tuple, RunConfig] = {}
    for config in configs:
        if other := by_id.get(config.run_id):
            init_from = config.init_from or other.init_from
            config = replace(config, init_from=init_from, trunk=config.trunk and other.trunk)
        by_id[config.run_id] = config
        twin = by_numbers.setdefault(config.numbers, config)
        if twin.run_id != config.run_id:
            raise ValueError(
                f"runs {twin.run_id} and {config.run_id} are one run written in two ways "
                f"({differences(twin, config)}): leave one of them out"
            )
    return list(by_id.values())


def differences(one: RunConfig, other: RunConfig) -> str:
    """The fields in which two configs differ, labels left out."""
    parts = ((getattr(one, part), getattr(other, part)) for part in ("model", "optim", "data"))
    return ", ".join(
        f"{name}={getattr(a, name)!r} and {getattr(b, name)!r}"
        for a, b in [(one, other), *parts]
        for name, item in declared(type(a)).items()
        if item.metadata["reach"] != "label" and getattr(a, name) != getattr(b, name)
    )


def group_by_shape(configs: Iterable[RunConfig]) -> dict[Shape, list[RunConfig]]:
    """Runs that share a compiled program, longest first."""
    groups: dict[Shape, list[RunConfig]] = defaultdict(list)
    for config in sorted(configs, key=counts.run_flops, reverse=True):
        groups[config.shape].append(config)
    return dict(groups)


@dataclass(frozen=True)
class Price:
    """What a set of runs costs, what trunks and branches share counted once."""

    runs: int
    tokens: int
    flops: float
    run_bytes: int  # memory of the largest run, rough
    store_bytes: int  # on disk when all are done: the last checkpoint of each


def price(configs: Sequence[RunConfig]) -> Price:
    return Price(
        runs=len(configs),
        tokens=sum((c.steps - c.branch_step) * c.batch_tokens for c in configs),
        flops=sum(counts.spent_flops(config) for config in configs),
        run_bytes=max((counts.run_bytes(config) for config in configs), default=0),
        store_bytes=sum(12 * counts.count_params(config.model).total for config in configs),
    )


def seconds_left(
    left: Iterable[tuple[RunConfig, float]], workers: int = 1, timed: Sequence[tuple[RunConfig, float]] = ()
) -> float:
    """Until the last of these runs ends, each given with the part of it still to be trained: the
    training, at the rate of the `timed` runs (finished ones, with their seconds), `RUN_SECONDS` each, and
    the compiling of every shape that none of them has and nobody is at. Not less than the longest run."""
    left, known = list(left), rates(timed)
    if not left:
        return 0.0
    training = [part * estimate_seconds(config, known) for config, part in left]
    compiled = {config.shape for config, _ in timed}
    compiled |= {config.shape for config, part in left if part < 1}
    compiling = COMPILE_SECONDS * len({config.shape for config, _ in left} - compiled)
    every = compiling + sum(training) + RUN_SECONDS * len(left)
    return max(max(training), every / max(1, min(workers, len(left))))


def rates(timed: Iterable[tuple[RunConfig, float]]) -> dict[float, float]:
    """How many times the seconds assumed the finished runs took, by their FLOPs per token."""
    assumed: dict[float, float] = defaultdict(float)
    seconds: dict[float, float] = defaultdict(float)
    for config, spent in timed:
        each = counts.flops_exact(config.model)
        assumed[each] += estimate_seconds(config, {})
        seconds[each] += spent
    return {each: seconds[each] / assumed[each] for each in assumed}


def estimate_seconds(config: RunConfig, known: dict[float, float]) -> float:
    """What a run will take, by what is assumed and by how far the size nearest to its own was off; see
    `rates`."""
    each = counts.flops_exact(config.model)
    rate = CORE_FLOPS_PER_SECOND * min(1.0, each / LARGE) ** SLOWER
    assumed = (counts.spent_flops(config) + SCORED * each) / rate
    near = min(known, key=lambda other: max(each, other) / min(each, other), default=None)
    return assumed * known.get(near, 1.0)
