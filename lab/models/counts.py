"""Parameters by role and training FLOPs per token, from the config alone, under named conventions.

Analytic counts are the record. `tests/test_counts.py` audits them against the parameter tree,
against every product in the traced program, and against the compiler's own count.
"""

from dataclasses import dataclass

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


def count_params(cfg: ModelConfig) -> Params:
    D, V = cfg.d_model, cfg.vocab_size
    embed = 0 if cfg.tied else V * D
    if cfg.recurrent:  # 4 biases a layer: an LSTM's gates, or a GRU's 3 and one inside its reset
        return Params(embed=embed, hidden=matrix_params(cfg) + cfg.n_layer * 4 * D, readout=V * D)
    gains = D * (2 if cfg.norm == "layernorm" else 1)
    positions = cfg.seq_len * D if cfg.position == "learned" else 0
    return Params(
        embed=positions + embed, hidden=matrix_params(cfg) + cfg.n_layer * 2 * gains + gains, readout=V * D
    )


def matrix_params(cfg: ModelConfig) -> int:
    """Weights inside matrix products, readout left out: Kaplan's non-embedding N."""
    if cfg.recurrent:  # one matrix on the layer's input, one on its state
        return cfg.n_layer * 2 * cfg.n_gate * cfg.d_model**2
    gates = 3 if cfg.activation == "swiglu" else 2
    return cfg.n_layer * (4 * cfg.d_model**2 + gates * cfg.d_model * cfg.ffn_width)


def flops_exact(cfg: ModelConfig, *, causal: bool = True) -> float:
    """Training FLOPs per token: all matrix products, forward + backward = 3 x forward.

    Attention position l meets l + 1 keys, (L + 1)/2 on average; `causal=False` counts the whole
    square instead, which is what a dense implementation executes. A recurrent model has none, and
    multiplies its first state, which is zero, like any other.
    """
    keys = (cfg.seq_len + 1) / 2 if causal else cfg.seq_len
    attention = 0 if cfg.recurrent else cfg.n_layer * 4 * cfg.d_model * keys
    readout = 2 * cfg.d_model * cfg.vocab_size
    return 3 * (2 * matrix_params(cfg) + attention + readout)


def flops_6n(cfg: ModelConfig) -> float:
    """6 N per token with N = hidden + readout (the rule of thumb of Kaplan 2020, section 2.1)."""
    return 6.0 * count_params(cfg).params


def flops_kaplan(cfg: ModelConfig) -> float:
    """3 (2 N + 2 n_layer n_ctx d_attn), N without embedding and readout (Kaplan 2020, eq. 2.2).
    The second term is attention's: of a recurrent model 6 N is left."""
    attention = 0 if cfg.recurrent else 2 * cfg.n_layer * cfg.seq_len * cfg.d_model
    return 3.0 * (2 * matrix_params(cfg) + attention)


def flops_hoffmann(cfg: ModelConfig) -> float:
    """Hoffmann 2022, appendix F, per token: embedding and logits counted, attention not halved,
    3 FLOPs a softmax entry. A SwiGLU block's third matrix is counted like its other two; a
    recurrent model has no attention, and its matrices are counted like a block's."""
    D, L, V = cfg.d_model, cfg.seq_len, cfg.vocab_size
    attention = 0 if cfg.recurrent else cfg.n_layer * (4 * L * D + 3 * cfg.n_head * L)
    forward = 2 * V * D + 2 * matrix_params(cfg) + attention + 2 * D * V
    return 3.0 * forward


CONVENTIONS = {
    "exact": flops_exact,
    "6n": flops_6n,
    "kaplan2020": flops_kaplan,
    "hoffmann2022": flops_hoffmann,
}


def run_flops(config: RunConfig) -> float:
    """Training FLOPs of the whole run, exact convention; evaluation is not counted."""
    return flops_exact(config.model) * config.steps * config.batch_tokens


def spent_flops(config: RunConfig) -> float:
    """Of these, what training it costs: without what its trunk has made already."""
    return flops_exact(config.model) * (config.steps - config.branch_step) * config.batch_tokens


def run_bytes(config: RunConfig) -> int:
    """Rough peak memory: weights, gradients, two moments, one micro-batch's activations."""
    cfg, sequences = config.model, config.micro_batch or config.batch_size
    width = 16 * cfg.d_model + 3 * cfg.ffn_width + 3 * cfg.n_head * cfg.seq_len
    if cfg.recurrent:  # gates, their slopes and their gradients; outputs and cells
        width = (4 * cfg.n_gate + 4) * cfg.d_model
    activations = sequences * cfg.seq_len * (cfg.n_layer * width + 3 * cfg.vocab_size)
    return 4 * (4 * count_params(cfg).total + activations)
