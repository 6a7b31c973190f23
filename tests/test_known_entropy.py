"""A Transformer on a language whose entropy is computed: it can reach the source, not beat it; a loss below
that is said by the export."""

import csv
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from lab.config import DataConfig, ModelConfig, OptimConfig, RunConfig
from lab.data import batches, corpora
from lab.data.languages import parse_language
from lab.plan import grid
from lab.store import floors
from lab.store.store import Store
from lab.train.checkpoint import Checkpoints
from lab.train.evaluate import Evaluator, window_nats
from lab.train.step import initial_state
from tests.trained import Trainer, train

ORDER = 2


@pytest.mark.slow
def test_a_trained_model_comes_within_three_percent_of_the_source_and_never_below(tmp_path):
    corpus = corpora.prepare(f"markov:16-{ORDER}-4-0", quiet=True)
    config = RunConfig(
        model=ModelConfig(d_model=32, n_layer=2, n_head=2, vocab_size=16, seq_len=64),
        optim=OptimConfig(learning_rate=0.01),
        tokens=1_500_000,
        batch_tokens=2048,
        data=DataConfig(sha256=corpus.sha256, corpus=corpus.name, train_tokens=corpus.n_train),
    )
    grid.check_data(config)
    trainer = Trainer(Store(tmp_path), jax.local_devices()[:1])
    record = train(trainer, config, corpus, trainer.store.claim(config))
    assert record["status"] == "done"

    # both scored on the same held-out targets: those whose context both of them can see
    L = config.model.seq_len
    tokens_WL, mask_WL = batches.eval_windows(corpus.held_out, L)
    documents = corpus.held_out.reshape(-1, corpus.documents["held_out"][0].tokens)
    nats = -parse_language(corpus.name)[0].log_probs(documents).ravel()
    source_WL = batches.eval_windows(nats, L)[0][:, 1:]
    known_WL = mask_WL & np.isfinite(source_WL)
    known_WL[:, : ORDER - 1] = False
    checkpoints = Checkpoints(trainer.store.folder(config.run_id) / "checkpoints")
    params = checkpoints.restore(initial_state(config)).state.params
    windows = Evaluator(tokens_WL, known_WL)
    nats_W, targets_W = windows.nats(partial(window_nats, config.model), params), windows.targets_W
    source_W = np.where(known_WL, source_WL, 0).sum(1)
    model, source = nats_W.sum() / targets_W.sum(), source_W.sum() / targets_W.sum()
    gap_W = nats_W - source_W
    gap_se = gap_W.std() * np.sqrt(len(gap_W)) / targets_W.sum()
    print(
        f"model {model:.4f}, source {source:.4f}, entropy rate "
        f"{corpus.baselines['entropy_rate']['nats_per_token']:.4f} nats/token"
    )
    assert model < 1.03 * source
    assert model > source - gap_se


LANGUAGE, SENTENCES = "markov:16-2-4-0", "grammar:6-2-2-3-0"
TABLE = Path(__file__).parents[1] / "experiments/results/known_entropy.csv"


def ended(
    loss, corpus=LANGUAGE, seq_len=64, seen=131_071, objective="next_token", status="done", error=0.002
):
    model, data = SimpleNamespace(seq_len=seq_len), SimpleNamespace(corpus=corpus)
    config = SimpleNamespace(model=model, data=data, objective=objective, run_id="0" * 12)
    record = {"status": status, "loss": loss, "loss_se": error, "held_out_tokens": seen}
    return floors.too_low(config, record)


def test_a_loss_below_a_known_entropy_is_said_and_no_other():
    floor = parse_language(LANGUAGE)[0].floor(64)
    assert f"below the entropy of {LANGUAGE}, {floor:.4f}" in ended(floor - 0.01)
    assert not ended(floor - 0.007)  # which the text held out explains
    assert not ended(floor - 0.01, error=0.005)
    rate = parse_language(LANGUAGE)[0].entropy_rate
    assert rate - 0.001 > floor - 0.1 and not ended(rate - 0.001, seq_len=4096)
    for other in (
        {"objective": "prefix"},
        {"corpus": "shakespeare"},
        {"status": "diverged"},
        {"seen": 640},
        {"loss": None},
    ):
        assert not ended(**{"loss": 0.1} | other), other
    sentences = parse_language(SENTENCES)[0]
    for seq_len in (sentences.sentence * 8, sentences.sentence * 8 + 1):  # whole sentences, and cut ones
        assert ended(sentences.entropy_rate - 0.01, SENTENCES, seq_len)
        assert not ended(sentences.entropy_rate + 0.001, SENTENCES, seq_len)


def test_no_run_of_the_committed_languages_is_said_to_be_too_low():
    best = {}
    for row in csv.DictReader(TABLE.open()):
        if row["status"] == "done":
            best[row["corpus"]] = min(best.get(row["corpus"], row), row, key=lambda row: float(row["loss"]))
    assert len(best) > 10
    for corpus, row in best.items():
        seen, error = int(row["held_out_tokens"]), float(row["loss_se"])
        assert not ended(float(row["loss"]), corpus, int(row["seq_len"]), seen, error=error)
