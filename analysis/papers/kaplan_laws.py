"""The laws of Kaplan et al. 2020 at their published constants, and what follows from them.

Their parameters leave embeddings out, their compute is in PF-days.
"""

import numpy as np

from analysis.laws import Array, KaplanData, KaplanSteps, PowerLaw
from analysis.laws.published import KAPLAN_BATCH, KAPLAN_ND, KAPLAN_NS, PF_DAY, Published

JOINT = KaplanData(**{name: entry.value for name, entry in KAPLAN_ND.items()})
STEPS = KaplanSteps(**{name: entry.value for name, entry in KAPLAN_NS.items()})
BATCH_SCALE, BATCH_POWER = KAPLAN_BATCH["B"].value, 1 / KAPLAN_BATCH["alpha"].value
SEED = 0.02  # in log loss, how far runs that differ only in seed lie apart (section 3)


def power(constants: dict[str, Published]) -> PowerLaw:
    """(c/x)^alpha as E + A x^-alpha with E = 0."""
    alpha = constants["alpha"].value
    return PowerLaw(0.0, constants["c"].value ** alpha, alpha)


def critical_batch(loss: Array) -> Array:
    """Tokens a step beyond which more of them save few steps (eq. 1.4)."""
    return BATCH_SCALE / loss**BATCH_POWER


def tokens_within(law: KaplanData, params: Array, excess: float) -> Array:
    """Tokens that keep the loss within a share `excess` of its limit (eq. 4.4)."""
    size = (law.N_c / params) ** (law.alpha_N / law.alpha_D)
    return law.D_c / (((1 + excess) ** (1 / law.alpha_D) - 1) * size)


def frontier(law: KaplanSteps, params: Array) -> tuple[Array, Array]:
    """(loss, PF-days) at the compute for which each size is the best (section 6, appendix B).

    C = 6·N·S·B_crit(L) at S steps far above the critical batch; the least loss at fixed C has S's
    term alpha_N/alpha_S times N's.
    """
    size = (law.N_c / params) ** law.alpha_N
    ratio = law.alpha_N / law.alpha_S
    loss = size * (1 + ratio)
    steps = law.S_c * (ratio * size) ** (-1 / law.alpha_S)
    return loss, 6 * params * steps * critical_batch(loss) / PF_DAY


def loss_at_batch(law: KaplanSteps, flops: Array, batch: float) -> Array:
    """Least loss for compute (PF-days) spent at one batch (tokens), by search over sizes.

    S steps at batch B make S/(1 + B_crit/B) steps worth counting  (eq. 5.4).
    """
    params, worth = np.geomspace(1e3, 1e11, 161)[:, None], np.geomspace(30, 1e7, 600)
    loss = law.loss(params, worth)
    spent = np.log(6 * params * worth * (batch + critical_batch(loss)) / PF_DAY)
    curves = [np.interp(np.log(flops), c, y) for c, y in zip(spent, loss, strict=True)]
    return np.min(curves, axis=0)
