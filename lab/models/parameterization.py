"""What a weight's role and a model's width imply: initial scale, learning rate, logit scale.

Roles: `embed` (token and position tables), `hidden` (matrices between widths that grow), `readout`
(width to vocabulary), `gain` (norms' vectors). docs/parameterization.md derives the exponents.
"""

from collections.abc import Mapping
from dataclasses import dataclass

BASE_WIDTH = 64  # where STANDARD and MUP are the same model
# families of optimisers: each entry of an update as large whatever its gradient; as the gradient; each
# direction of a matrix as large, its entries together 0.2 in root mean square
ADAM, SGD, MUON = "adamw", "sgd", "muon"


@dataclass(frozen=True)
class Parameterization:
    """Exponents of width, by role, over their values at width 64.

    MUP follows Yang et al. 2022 (Tensor Programs V, arXiv 2203.03466), table 8, the form in which
    the readout has a multiplier and which therefore also holds for a tied table.
    """

    init_exponent: Mapping[str, float]  # of the initial standard deviation
    rate_exponent: Mapping[str, Mapping[str, float]]  # of the learning rate: by family, by role
    readout_exponent: float  # of the multiplier on logits
    attention_exponent: float  # of the multiplier on q.k, in the width of a head

    def init_std(self, role: str, fan_in: int) -> float:
        """fan_in**-0.5 at width 64, and at any width where the role's exponent is -1/2. `fan_in`
        grows with the width in every role: an embedding's is taken as the width.

        A readout that starts at zero was tried: small models then stay on the n-gram plateau for
        longer (experiments/README.md)."""
        if role == "gain":
            return 0.0
        exponent = self.init_exponent[role]
        return fan_in**exponent * BASE_WIDTH ** (-0.5 - exponent)

    def rate(self, role: str, d_model: int, optimizer: str = ADAM) -> float:
        """What the base learning rate is multiplied with."""
        return (d_model / BASE_WIDTH) ** self.rate_exponent[optimizer][role]

    def readout_scale(self, d_model: int) -> float:
        return (d_model / BASE_WIDTH) ** self.readout_exponent

    def logit_scale(self, d_head: int) -> float:
        """K**-0.5, and under MUP 1/K made equal to it at K = 16."""
        return 16**-0.5 * (d_head / 16) ** self.attention_exponent


EVEN = {"embed": 0.0, "hidden": 0.0, "readout": 0.0, "gain": 0.0}
STANDARD = Parameterization(
    init_exponent={"embed": -0.5, "hidden": -0.5, "readout": -0.5},
    rate_exponent={ADAM: EVEN, SGD: EVEN, MUON: EVEN},
    readout_exponent=0.0,
    attention_exponent=-0.5,
)
MUP = Parameterization(
    init_exponent={"embed": 0.0, "hidden": -0.5, "readout": 0.0},
    rate_exponent={
        ADAM: {"embed": 0.0, "hidden": -1.0, "readout": 0.0, "gain": 0.0},
        SGD: {"embed": 1.0, "hidden": 0.0, "readout": 1.0, "gain": 1.0},
        # a matrix of so spread an update has a norm of 0.2 sqrt(D), one of AdamW's up to D
        MUON: {"embed": 0.0, "hidden": -0.5, "readout": 0.0, "gain": 0.0},
    },
    readout_exponent=-1.0,
    attention_exponent=-1.0,
)
PARAMETERIZATIONS = {"standard": STANDARD, "mup": MUP}
