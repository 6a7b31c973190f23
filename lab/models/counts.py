"""Parameters by role and training FLOPs per token, from the config alone.

Analytic counts are the record. `tests/test_counts.py` audits them against the parameter tree,
against every product in the traced program, and against the compiler's own count.
"""

from dataclasses import dataclass
from functools import cache, partial

from lab.config import ModelConfig, RunConfig


@dataclass(frozen=True)
class Params:
    """Weights by role. Their sum is every number the optimiser moves."""

    embed: int  # token table (when it is not also the readout) and learned positions: looked up
    hidden: int  # the blocks' (or cells') matrices, and the vectors of norms and gates
    readout: int  # width to vocabulary; a tied table is counted here and not under embed
    idle: int = 0  # more hidden ones, of which a token meets others: those of experts it is not sent to

    @property
    def total(self) -> int:
        return self.embed + self.hidden + self.readout + self.idle

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
    return LAYERS[cfg.kind](cfg)


def by_formula(cfg: ModelConfig) -> bool:
    """Whether it is counted from the config alone; else off its tree and its traced program."""
    return cfg.kind in LAYERS and not cfg.settings


@cache
def tree_params(cfg: ModelConfig) -> Params:
    from lab.models import programs, tree

    programs.on_host()
    weights = tree.describe(cfg)
    sizes = dict.fromkeys(("embed", "hidden", "readout", "gain"), 0)
    for weight in weights:
        sizes[weight.role] += weight.size
    idle = sum(round((1 - weight.share) * weight.size) for weight in weights)
    tied = sum(weight.size for weight in weights if weight.tied)
    hidden = sizes["hidden"] + sizes["gain"] - idle
    return Params(sizes["embed"] - tied, hidden, sizes["readout"] + tied, idle)


def count_params(cfg: ModelConfig) -> Params:
    if not by_formula(cfg):
        return tree_params(cfg)
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
    if not by_formula(cfg):
        from lab.models import programs

        return 3 * programs.flops(cfg, causal)
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


def kept(cfg: ModelConfig) -> float:
    """Numbers kept for the gradient, for each token; rough."""
    if by_formula(cfg):
        return cfg.n_layer * layer(cfg).kept
    from lab.models import programs

    return programs.forward(cfg).made / cfg.seq_len


def run_bytes(config: RunConfig) -> int:
    """Rough peak memory: weights, gradients, two moments, one micro-batch's activations."""
    cfg, sequences = config.model, config.micro_batch or config.batch_size
    activations = sequences * cfg.seq_len * (kept(cfg) + 3 * cfg.vocab_size)
    return 4 * (4 * count_params(cfg).total + activations)
