"""The ids of runs: of one of every kind, and of every run in a committed table.

Ids name the folders of finished runs on people's disks and the rows of published tables: an id
that changes orphans both. A new field with a default changes none of these.
"""

import csv
import hashlib
from dataclasses import fields
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from experiments import (
    activation,
    after,
    architectures,
    captions,
    carried,
    cells,
    changes,
    charrnn,
    chinchilla2022,
    classics,
    compression,
    context,
    cooldown,
    depth,
    distillation,
    dtypes,
    equal_arms,
    experts,
    images,
    incontext,
    kaplan2020,
    known_entropy,
    mae,
    modalities,
    muon,
    objectives,
    plain,
    porian2024,
    prediction,
    quickstart,
    rates,
    repeats,
    reward,
    seals,
    seeds,
    sentiment,
    sweeps,
    texts,
    transfer,
    vision,
    word2vec,
)
from lab.config import DataConfig, ModelConfig, OptimConfig, RunConfig
from lab.config import run as config
from lab.data import corpora
from lab.data.languages import parse_language
from lab.plan import arms, grid, tuning

RESULTS = Path(__file__).parents[1] / "experiments" / "results"

# --- one run of every kind -----------------------------------------------------------------------

BASE = RunConfig(
    model=ModelConfig(d_model=32, n_layer=2, n_head=2, vocab_size=256, seq_len=64),
    optim=OptimConfig(learning_rate=0.01),
    data=DataConfig(sha256="ab" * 32, corpus="text", train_tokens=100_000),
    tokens=20_000,
    batch_tokens=256,
)
IDS = [  # what differs from BASE, and the id: first each field alone, then what is used together
    ({}, "a34c2f599e80"),
    ({"tokens": 30000}, "6c900c3190d4"),
    ({"batch_tokens": 512}, "11b066e5435c"),
    ({"micro_batch": 2}, "fca67b327d01"),
    ({"seed": 3}, "13ebf627078a"),
    ({"data_seed": 4}, "5d3faacce1f1"),
    ({"objective": "masked"}, "18c4c79ff5e0"),
    ({"objective": "prefix"}, "920fa4fdfde6"),
    ({"objective": "span_corruption"}, "f70a9907d5e8"),
    ({"objective": "mine.py:walk@0123456789ab"}, "a67113ac25db"),
    ({"data__sha256": "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd"}, "c2cda466a901"),
    ({"data__unique_tokens": 10000}, "88ec8cd59304"),
    ({"model__d_model": 64}, "6bf75fc217f6"),
    ({"model__n_layer": 3}, "d1151d16206c"),
    ({"model__n_head": 4}, "fefe7c0e3498"),
    ({"model__vocab_size": 300}, "298ed55b098f"),
    ({"model__seq_len": 32}, "cf9d1ce2ac40"),
    ({"model__d_ff": 40}, "29e1aa213cb3"),
    ({"model__norm": "layernorm"}, "af2ce5382acb"),
    ({"model__position": "learned"}, "c2199a485970"),
    ({"model__activation": "gelu"}, "cc462872702d"),
    ({"model__tied": True}, "8ce69f174799"),
    ({"model__parameterization": "mup"}, "4a787e59c530"),
    ({"model__dtype": "bfloat16"}, "456ae26502ef"),
    ({"model__remat": True}, "a3da7a698164"),
    ({"model__settings": {"a": 1}}, "c2fa622eb46a"),
    ({"model__kind": "lstm", "model__n_head": 1}, "9d221318757f"),
    ({"model__kind": "gru", "model__n_head": 1}, "03df6930eed4"),
    ({"model__kind": "moe"}, "c479e9086aad"),
    ({"model__kind": "moe", "model__settings": {"experts": 4, "qk_norm": True}}, "4299170f8d03"),
    ({"model__kind": "hgrn", "model__n_head": 1}, "084e736b1065"),
    ({"optim__learning_rate": 0.02}, "1e0cc9cb0067"),
    ({"optim__optimizer": "sgd"}, "b418fdf3e732"),
    ({"optim__weight_decay": 0.0}, "6a245e610e33"),
    ({"optim__beta1": 0.95}, "ca79b9489389"),
    ({"optim__beta2": 0.999}, "73eda10e65ad"),
    ({"optim__eps": 1e-06}, "037571dd9838"),
    ({"optim__clip": 0.0}, "9d5b2c60dd81"),
    ({"optim__schedule": "linear"}, "ae1ce1205112"),
    ({"optim__schedule": "constant"}, "6f4d89c053de"),
    ({"optim__warmup_fraction": 0.1}, "d421ff36a92b"),
    ({"optim__warmup_steps": 7}, "3c2b28bfd785"),
    ({"optim__horizon_steps": 200}, "10338543b828"),
    ({"optim__cooldown_fraction": 0.25}, "435910f75421"),
    ({"optim__cooldown_shape": "1-sqrt"}, "ad89912a143e"),
    ({"optim__final_fraction": 0.1}, "af963277f8a3"),
    ({"optim__ema": 0.999}, "6060ee541083"),
    ({"optim__optimizer": "muon"}, "3c36cbd99eb1"),
    ({"optim__optimizer": "lion"}, "2fa554019ced"),
    ({"optim__optimizer": "adafactor"}, "5d6931b1cc65"),
    ({"optim__optimizer": "schedule-free", "optim__schedule": "constant"}, "64cda13c75ea"),
    ({"optim__optimizer": "muon", "optim__momentum": 0.9}, "e4b3dc47f326"),
    ({"optim__optimizer": "mine.py:walk@0123456789ab", "optim__settings": {"a": 1}}, "a434636167cc"),
    (
        {
            "model__norm": "layernorm",
            "model__position": "learned",
            "model__activation": "gelu",
            "model__tied": True,
            "seed": 3,
        },
        "63dddc192145",
    ),
    (
        {
            "model__kind": "lstm",
            "model__n_head": 1,
            "model__parameterization": "mup",
            "model__tied": True,
            "model__dtype": "bfloat16",
        },
        "319dbbb7567d",
    ),
    (
        {
            "optim__optimizer": "sgd",
            "optim__clip": 0.0,
            "tokens": 40000,
            "micro_batch": 1,
            "data__unique_tokens": 10000,
        },
        "2e48736b047e",
    ),
    (
        {
            "optim__schedule": "constant",
            "optim__cooldown_fraction": 0.25,
            "optim__cooldown_shape": "1-sqrt",
            "optim__warmup_steps": 5,
        },
        "67b1dec3785b",
    ),
]
LABELS = {
    "data__corpus": "/elsewhere",
    "data__tokenizer": "bpe-1024",
    "data__train_tokens": 200_000,
    "data__max_epochs": 4.0,
    "budget": 1e12,
    "init_from": "0123456789ab@10",
    "trunk": True,
}


@pytest.mark.parametrize(("changes", "run_id"), IDS, ids=str)
def test_a_run_of_every_kind_keeps_its_id(changes, run_id):
    assert grid.with_fields(BASE, changes).run_id == run_id


@pytest.mark.parametrize("name", LABELS)
def test_a_label_changes_no_id(name):
    assert grid.with_fields(BASE, {name: LABELS[name]}).run_id == IDS[0][1]


def test_every_field_of_a_run_has_an_id_above_or_is_a_label():
    parts = {"model": ModelConfig, "optim": OptimConfig, "data": DataConfig}
    known = {item.name for item in fields(RunConfig)} - set(parts)
    known |= {f"{part}__{item.name}" for part, kind in parts.items() for item in fields(kind)}
    alone = {name for changes, _ in IDS for name in changes if len(changes) == 1}
    # not without another optimiser
    assert known - alone - set(LABELS) == {"optim__momentum", "optim__settings"}
    assert len({run_id for _, run_id in IDS}) == len(IDS)


def test_a_trunk_and_its_branches_keep_their_ids():
    cooled = {"optim__schedule": "constant", "optim__cooldown_fraction": 0.25, "optim__warmup_steps": 5}
    cells = grid.product(grid.with_fields(BASE, cooled), tokens=[20_000, 40_000])
    runs = grid.branched(cells)
    assert [(run.run_id, run.init_from, run.trunk) for run in runs] == [
        ("a673a6d1cf06", "", True),
        ("76309deedc03", "a673a6d1cf06@58", True),
        ("a991f3d35a9b", "a673a6d1cf06@58", False),
        ("e8b96c1ec905", "76309deedc03@117", False),
    ]


# --- every committed table -----------------------------------------------------------------------

TABLES = {
    "quickstart": quickstart.runs,
    "plain": plain.runs,
    "rates": rates.runs,
    "sweeps": sweeps.runs,
    "sweeps-again": partial(sweeps.runs, "again"),
    "carried": carried.runs,
    "dtypes": dtypes.runs,
    "chinchilla2022": chinchilla2022.runs,
    "chinchilla2022-reviews": partial(chinchilla2022.runs, "reviews"),
    "chinchilla2022-bpe": partial(chinchilla2022.runs, "bpe"),
    "porian2024": porian2024.runs,
    "known_entropy": known_entropy.runs,
    "transfer": transfer.runs,
    "kaplan2020": kaplan2020.runs,
    "compression": compression.runs,
    "cooldown": cooldown.runs,
    "repeats": repeats.runs,
    "context": context.runs,
    "charrnn": charrnn.runs,
    "muon": muon.runs,
    "experts": experts.runs,
    "depth": depth.runs,
    "architectures": architectures.runs,
    "seeds": seeds.runs,
    "activation": activation.compared,
    "changes": changes.runs,
    "changes-ladders": partial(changes.runs, "ladders"),
    "equal_arms": equal_arms.runs,
    "classics": classics.runs,
    "incontext": incontext.runs,
    "distillation": distillation.runs,
    "after": after.runs,
    "reward": reward.runs,
    "word2vec": word2vec.runs,
    "modalities": modalities.runs,
    "objectives": objectives.runs,
    "images": images.runs,
    "captions": captions.runs,
    "vision": vision.runs,
    "mae": mae.runs,
    "sentiment": sentiment.runs,
    "cells": cells.runs,
    "texts": texts.runs,
    "seals": seals.runs,
    **{f"seals-{size}": partial(seals.runs, size) for size in seals.TEXTS if size != "laptop"},
    "seals-fine-linux-bpe": partial(seals.runs, "fine-linux-bpe"),
}
PARTS = {  # tables of some of another's runs: their curves, and what was measured of them
    "kaplan2020-curves": "kaplan2020",
    "kaplan2020-noise": "kaplan2020",
    "porian2024-curves": "porian2024",
    "muon-curves": "muon",
    "sweeps-curves": "sweeps",
    "sweeps-again-curves": "sweeps-again",
    "changes-curves": "changes",
    "context-blocks": "context",
    "incontext-answers": "incontext",
    "distillation-taught": "distillation",
    "after-levels": "after",
    "reward-best": "reward",
    "policy": "reward",
    "word2vec-vectors": "word2vec",
    "objectives-measures": "objectives",
    "images-drawings": "images",
    "captions-choices": "captions",
    "vision-words": "vision",
    "mae-readers": "mae",
    "sentiment-probe": "sentiment",
    "cells-units": "cells",
    "cells-samples": "cells",
    "texts-samples": "texts",
}
NUMERICS = {"rates": 1}  # made before results changed on purpose, and never again since
TRAIN_TOKENS = {  # of the corpora that were downloaded; those of languages are in their names
    ("shakespeare", "bytes"): 4_826_570,
    ("shakespeare", "chars"): 4_826_570,
    ("movie-reviews", "bytes"): 32_073_964,
    ("names", "bytes"): 618_110,
    ("flax-docs", "bytes"): 396_709,
    ("linux-6.1", "bytes"): 99_053_774,
    ("linux-6.1", "bpe-1024"): 50_560_951,
    ("linux-6.1", "bpe-512"): 61_039_644,
    ("movie-reviews", "bpe-512"): 15_201_165,
}
VOCABULARIES = {"bytes": 256, "chars": 85, "bpe-512": 512, "bpe-1024": 1024}


def read(name: str) -> list[dict[str, str]]:
    with (RESULTS / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def as_then(name, monkeypatch):
    """Corpora of the names, sizes and checksums that the table was made with, and no content."""
    checksums = {}
    for each in (name, *TABLES):  # its own first: a corpus may have been prepared anew since
        for row in read(each):
            if "data_sha256" in row:
                checksums.setdefault((row["corpus"], row["tokenizer"]), row["data_sha256"])

    def named(name, tokenizer="bytes", *_, **__):
        sha256 = checksums[name, tokenizer]
        if (name, tokenizer) in TRAIN_TOKENS:
            size, vocab = TRAIN_TOKENS[name, tokenizer], VOCABULARIES[tokenizer]
        else:
            language, size = parse_language(name)[:2]
            vocab = language.n_symbols
        made = SimpleNamespace(name=name, sha256=sha256, n_train=size, vocab_size=vocab, asked=tokenizer)
        made.data = partial(corpora.Corpus.data, made)
        return made

    monkeypatch.setattr(corpora, "prepare", named)
    monkeypatch.setattr(corpora, "prepare_first", lambda names, *rest, **__: named(names[0], *rest))


@pytest.mark.parametrize("name", TABLES)
def test_the_runs_of_a_committed_table_keep_their_ids(name, as_then, monkeypatch):
    monkeypatch.setattr(config, "NUMERICS", NUMERICS.get(name, config.NUMERICS))
    rows = list(dict.fromkeys(row["run_id"] for row in read(name)))  # one may stand in two parts
    assert rows == list(dict.fromkeys(run.run_id for run in TABLES[name]()))


def test_every_committed_table_is_held():
    counted = {"classics-ngrams"}  # of no run
    assert {path.stem for path in RESULTS.glob("*.csv")} == {*TABLES, *PARTS, *counted}
    for name, whole in PARTS.items():
        ids = {row["run_id"] for row in read(name)}
        assert ids and ids <= {row["run_id"] for row in read(whole)}, name


SEALED = "7596 23ce f949 edf4 b57b 4350 bc2f 7d3d ce83 9b8f"
FINE = "0f76 1c02 ab4e 2721 4519 4edb c84b 443d 5e80 9e1c"


def test_runs_whose_losses_were_predicted_keep_their_ids():
    """Each was sealed with its whole config; `runs` refuses one whose id is another now."""
    assert [run.run_id for run in prediction.runs()] == ["dbeacfe9d0f5", "ad91d1566cf7", "e0d36bd5d001"]
    assert [run.run_id[:4] for run in prediction.runs("seals")] == SEALED.split()
    assert [run.run_id[:4] for run in prediction.runs("fine")] == FINE.split()


@pytest.mark.parametrize(
    ("rates", "of_rates", "of_arms"),
    [
        (3, "7fcf87df5878", "e658e4ec2326"),
        (4, "bfadbc244c0a", "5cb75778e59b"),
        (5, "6d691415b6c2", "1cb25f674b41"),
    ],
)
def test_the_runs_that_tune_a_grid_and_an_arm_keep_their_ids(rates, of_rates, of_arms):
    cells = arms.own_cells(plain.runs())
    planned = tuning.rate_design(cells, rates=rates), arms.at_rates(cells, rates)
    ids = [",".join(run.run_id for run in runs) for runs in planned]
    assert [hashlib.sha256(each.encode()).hexdigest()[:12] for each in ids] == [of_rates, of_arms]
