"""What is planted comes back from the reports of the experiments on context and compression."""

import csv
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from analysis.tables import table
from experiments import compression, context
from experiments.reports import figures_context
from lab.config import ModelConfig
from lab.data import corpora
from lab.models import counts, tree
from lab.store import export
from lab.trained import positions

SEEN = positions.octaves(256)


@pytest.fixture(scope="module")
def parts():
    text = SimpleNamespace(name="linux-6.1", sha256="ab" * 32, n_train=30_000_000, vocab_size=1024)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(corpora, "prepare_first", lambda *_, **__: text)
        return context.parts()


def test_pairs_have_equal_weights_in_their_layers_and_share_rate_and_data(parts):
    pairs = parts["pairs"]
    for one, other in zip(pairs[::2], pairs[1::2], strict=True):
        assert (one.model.kind, other.model.kind) == ("transformer", "lstm")
        sizes = [counts.count_params(config.model).hidden for config in (one, other)]
        assert sizes[0] == pytest.approx(sizes[1], rel=0.005)
        assert one.optim.learning_rate == pytest.approx(other.optim.learning_rate, rel=0.005)
        assert (one.tokens, one.seed) == (other.tokens, other.seed) and one.data == other.data
    assert len(parts["rates"]) == 6


def test_octaves_score_the_same_tokens_with_more_and_more_in_sight(monkeypatch):
    """A stand-in whose nats of a target are the target and how many tokens it saw."""
    cfg = ModelConfig(n_layer=1, d_model=8, n_head=1, vocab_size=8, seq_len=16)

    def seen(cfg, params, tokens_BL):
        return tokens_BL[:, 1:] + jnp.arange(1, tokens_BL.shape[1]) / 1000

    monkeypatch.setattr(positions.tree, "nats", seen)
    found = positions.by_octave(cfg, {}, np.arange(16 * 300 + 5))
    assert found.shape == (16 * 299, 5)
    np.testing.assert_array_equal(np.floor(found), np.tile(16 + np.arange(16 * 299), (5, 1)).T)
    counts_of = [set(np.round((column % 1) * 1000).astype(int)) for column in found.T]
    assert counts_of == [{1}, {2}, {3, 4}, {5, 6, 7, 8}, set(range(9, 17))]
    with pytest.raises(ValueError, match="power of two"):
        positions.octaves(100)


@pytest.mark.parametrize("kind", ["transformer", "lstm"])
def test_short_windows_are_the_beginnings_of_whole_ones(kind):
    cfg = ModelConfig(kind=kind, n_layer=1, d_model=8, n_head=1, vocab_size=8, seq_len=16)
    params = tree.init(cfg, jax.random.key(0))
    text = np.random.default_rng(0).integers(0, 8, 16 * 9)
    found = positions.by_octave(cfg, params, text)
    whole = tree.nats(cfg, params, np.stack([text[s : s + 17] for s in range(len(text) - 16)]))
    for token in (0, 37, 90):
        at = 16 + token  # its place in the text; with one token seen the window starts at - 1
        assert found[token, 0] == pytest.approx(float(whole[at - 1][0]), abs=1e-4)
        sights = [float(whole[at - n][n - 1]) for n in range(9, 17)]
        assert min(abs(found[token, 4] - value) for value in sights) < 1e-4
    assert context.by_block(found).shape == (64, 5)


def written(parts, folder, gains: dict[str, float]) -> list[context.Use]:
    """Losses that fall by `gains[kind]` an octave, with noise that all models share."""
    rng, lines, rows = np.random.default_rng(0), [], []
    shared = rng.normal(0, 0.3, (64, 1)) + rng.normal(0, 0.02, (64, len(SEEN)))
    for config in parts["pairs"]:
        own = rng.normal(0, 0.002, (64, len(SEEN)))
        nats = 3 - gains[config.model.kind] * np.arange(len(SEEN)) + shared + own
        for block, values in enumerate(nats):
            named = {f"seen_{end}": value for end, value in zip(SEEN, values, strict=True)}
            lines.append({"run_id": config.run_id, "block": block} | named)
    for part, own in parts.items():
        for config in own:
            record = {"status": "done", "steps": config.steps, "loss": 2.0, "loss_se": 0.001}
            rows.append(export.row(config, record, f"context:{part}"))
    export.write(rows, folder / "runs.csv")
    with (folder / "blocks.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)
    pairs = table.read(folder / "runs.csv", where="experiment == 'context:pairs'")
    return context.context_uses(pairs, folder / "blocks.csv")


def test_a_planted_gain_of_context_and_its_lack_are_told_apart(parts, tmp_path):
    found = written(parts, tmp_path, {"transformer": 0.05, "lstm": 0.0})
    pairs = context.paired(found)
    assert [pair[0].hidden for pair in pairs] == sorted(pair[0].hidden for pair in pairs)
    assert len(pairs) == 3 and len(found) == 10
    for pair in pairs:
        said = context.compare(pair)
        assert said.count("129-256") == 1 and ", flat; difference 0." in said
        mean, within = context.interval(context.late(pair[0]) - context.late(pair[1]))
        assert abs(mean[0] - 0.1) < within[0] < 0.005, "paired on the same text"
    figures_context.context(found, pairs).savefig(tmp_path / "x.png")
    lines = context.describe(tmp_path / "runs.csv", "context", found)
    assert sum("by rate" in line for line in lines) == 2


def test_an_lstm_that_goes_on_gaining_is_not_called_flat(parts, tmp_path):
    pairs = context.paired(written(parts, tmp_path, {"transformer": 0.05, "lstm": 0.04}))
    assert all("flat" not in context.compare(pair) for pair in pairs)


def test_weights_pay_for_themselves_from_the_length_where_both_sizes_meet(tmp_path):
    found = compression.Packed(
        text=1000,
        params=np.array([10, 1000]),
        predicted=np.array([400, 250]),
        packed=np.array([402, 252]),
        model=np.array([40, 4000]),
        others={"gzip -9": 450, "xz -9e": 352},
    )
    pays = found.pays_from("xz -9e")
    assert np.isinf(pays[0]) and pays[1] == pytest.approx(4000 / 0.1)
    assert found.model[1] + pays[1] * 0.252 == pytest.approx(pays[1] * 0.352)
    assert "smaller than xz -9e from N=1,000" in found.lines[0]
    assert found.off == pytest.approx([0.005, 0.008])
    figures_context.compression(found).savefig(tmp_path / "x.png")
