"""What a weight's role and a model's width imply: initial scale, learning rate, logit scale.

Roles: `embed` (token and position tables), `hidden` (matrices between widths that grow), `readout`
(width to vocabulary), `gain` (norms' vectors). Both tables are for Adam-like optimisers.
"""

from dataclasses import dataclass

BASE_WIDTH = 64  # where STANDARD and MUP are the same model


@dataclass(frozen=True)
class Parameterization:
    """Exponents of width: the learning rate of a role grows as (width / 64)**exponent.

    MUP follows Yang et al. 2022 (Tensor Programs V), table 8: Adam's rate falls as 1/width in
    hidden matrices, the readout is multiplied by 1/width, attention logits scale as 1/K.
    """

    rate_exponent: dict[str, float]
    readout_exponent: float  # of the multiplier on logits
    attention_exponent: float  # of the multiplier on q.k

    def init_std(self, role: str, fan_in: int) -> float:
        """All matrices start at fan_in**-0.5. A readout that starts at zero was tried: small models
        then stay on the n-gram plateau for longer (experiments/README.md)."""
        return {"gain": 0.0}.get(role, fan_in**-0.5)

    def rate(self, role: str, d_model: int) -> float:
        return (d_model / BASE_WIDTH) ** self.rate_exponent[role]

    def readout_scale(self, d_model: int) -> float:
        return (d_model / BASE_WIDTH) ** self.readout_exponent

    def logit_scale(self, d_head: int) -> float:
        """K**-0.5, and under MUP 1/K made equal to it at K = 16."""
        return 16**-0.5 * (d_head / 16) ** self.attention_exponent


STANDARD = Parameterization({"embed": 0.0, "hidden": 0.0, "readout": 0.0, "gain": 0.0}, 0.0, -0.5)
MUP = Parameterization({"embed": 0.0, "hidden": -1.0, "readout": 0.0, "gain": 0.0}, -1.0, -1.0)
PARAMETERIZATIONS = {"standard": STANDARD, "mup": MUP}
