"""The learning rate over a run."""

import numpy as np
import pytest

from lab.train.schedule import multiplier


def curve(kind, steps=100, warmup=10.0, horizon=100.0, cooldown=0.0, final=0.0):
    return np.array(
        [float(multiplier(kind, step, warmup, horizon, cooldown, final)) for step in range(steps)]
    )


@pytest.mark.parametrize("kind", ["cosine", "linear", "constant"])
def test_warm_up_moves_from_the_first_step_and_ends_at_the_peak(kind):
    np.testing.assert_allclose(curve(kind)[:10], np.arange(1, 11) / 10, atol=0.02)


def test_cosine_and_linear_end_at_the_horizon():
    for kind, middle in (("cosine", 0.5), ("linear", 0.5)):
        found = curve(kind, steps=130)
        assert found[55] == pytest.approx(middle, abs=1e-6)
        assert (np.diff(found[10:100]) < 0).all() and found[99] < 0.02
        assert (found[100:] == 0).all()
    assert curve("cosine", final=0.1)[-1] == pytest.approx(0.1, abs=0.001)


def test_constant_stays_until_its_cool_down():
    flat, cooled = curve("constant"), curve("constant", cooldown=0.2)
    assert (flat[10:] == 1).all()
    assert (cooled[10:80] == 1).all() and cooled[90] == pytest.approx(0.5)
