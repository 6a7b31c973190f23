"""Parameters by role and training FLOPs per token, from the config alone.

Analytic counts are the record. `tests/test_counts.py` audits them against the parameter tree,
against every product in the traced program, and against the compiler's own count.
"""

from dataclasses import dataclass
from functools import partial

from lab import userfile
from lab.config import ModelConfig, RunConfig


@dataclass(frozen=True)
class Params:
    """Weights by role. Their sum is every number the optimiser moves."""

    embed: int  # token table (when it is not also the readout) and learned positions: looked up
    hidden: int  # the blocks' (or cells') matrices, and the vectors of norms and gates
    readout: int  # width to vocabulary; a tied table is counted here and not under embed

    @property
    def total(self) -> int:
        return self.embed + self.hidden + self.readout

    @property
    def params(self) -> int:
        """The lab's N: weights that every token is multiplied with, hidden + readout."""
        return self.hidden + self.readout


@dataclass(frozen=True)
class Layer:
    """What one layer of a kind of model holds, and does for a token."""

    matrices: int  # weights inside matrix products
    vectors: int  # gains and biases
    kept: int  # numbers kept for the gradient, rough
    attended: int = 0  # width of what a token's query is multiplied with, for each key it meets
    last: int = 0  # gains and biases after the last layer


def transformer(cfg: ModelConfig) -> Layer:
    D, F = cfg.d_model, cfg.ffn_width
    gates = 3 if cfg.activation == "swiglu" else 2
    gains = D * (2 if cfg.norm == "layernorm" else 1)
    kept = 16 * D + 3 * F + 3 * cfg.n_head * cfg.seq_len
    return Layer(4 * D**2 + gates * D * F, 2 * gains, kept, attended=D, last=gains)


def recurrent(cfg: ModelConfig, gates: int) -> Layer:
    """One matrix on the layer's input and one on its state; 4 biases: an LSTM's gates, or a GRU's 3
    and one inside its reset. Kept are gates, their slopes and gradients; outputs and cells."""
    D = cfg.d_model
    return Layer(matrices=2 * gates * D**2, vectors=4 * D, kept=(4 * gates + 4) * D)


LAYERS = {"transformer": transformer, "lstm": partial(recurrent, gates=4), "gru": partial(recurrent, gates=3)}


def layer(cfg: ModelConfig) -> Layer:
    if cfg.is_own:
        raise ValueError(f"{userfile.load(cfg.kind)}: a model of one's own can't be counted yet")
    return LAYERS[cfg.kind](cfg)


def count_params(cfg: ModelConfig) -> Params:
    D, V, each = cfg.d_model, cfg.vocab_size, layer(cfg)
    positions = cfg.seq_len * D if cfg.position == "learned" else 0
    return Params(
        embed=positions + (0 if cfg.tied else V * D),
        hidden=cfg.n_layer * (each.matrices + each.vectors) + each.last,
        readout=V * D,
    )


def flops_exact(cfg: ModelConfig, *, causal: bool = True) -> float:
    """Training FLOPs per token: all matrix products, forward + backward = 3 x forward.

    Attention position l meets l + 1 keys, (L + 1)/2 on average; `causal=False` counts the whole
    square instead, which is what a dense implementation executes. A recurrent model has none, and
    multiplies its first state, which is zero, like any other.
    """
    each, keys = layer(cfg), (cfg.seq_len + 1) / 2 if causal else cfg.seq_len
    attention = cfg.n_layer * 4 * each.attended * keys if each.attended else 0
    readout = 2 * cfg.d_model * cfg.vocab_size
    return 3 * (2 * cfg.n_layer * each.matrices + attention + readout)


def run_flops(config: RunConfig) -> float:
    """Training FLOPs of the whole run, exact convention; evaluation is not counted."""
    return flops_exact(config.model) * config.steps * config.batch_tokens


def spent_flops(config: RunConfig) -> float:
    """Of these, what training it costs: without what its trunk has made already."""
    return flops_exact(config.model) * (config.steps - config.branch_step) * config.batch_tokens


def run_bytes(config: RunConfig) -> int:
    """Rough peak memory: weights, gradients, two moments, one micro-batch's activations."""
    cfg, sequences = config.model, config.micro_batch or config.batch_size
    activations = sequences * cfg.seq_len * (cfg.n_layer * layer(cfg).kept + 3 * cfg.vocab_size)
    return 4 * (4 * count_params(cfg).total + activations)
