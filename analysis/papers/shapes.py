"""Parameters and FLOPs of Gopher's and Chinchilla's Transformers from their shapes.

Hoffmann et al. 2022, appendix F; columns n_layers, d_model, ffw_size, n_heads, kv_size.
"""

from analysis.laws import Array, published
from analysis.tables.runs import Runs

PROJECTIONS = 5  # query, key, value, output, and the relative positions of Transformer-XL


def parameters(models: Runs) -> Array:
    """Weights (R,) of each model: blocks and one embedding, without biases and norms."""
    d, inner = models.column("d_model"), models.column("ffw_size")
    heads = models.column("n_heads") * models.column("kv_size")
    block = PROJECTIONS * d * heads + 2 * d * inner
    return models.column("n_layers") * block + published.HOFFMANN_VOCAB.value * d


def flops_per_token(models: Runs) -> Array:
    """Training FLOPs (R,) a token: 3 × the forward pass of the blocks, whole attention matrix.

    Embedding and logits are left out: with either, the ratios of Table A4 do not come back.
    """
    d, inner = models.column("d_model"), models.column("ffw_size")
    heads = models.column("n_heads") * models.column("kv_size")
    length = published.HOFFMANN_LENGTH.value
    project = 2 * 3 * d * heads + 2 * heads * d
    attend = 2 * length * heads + 3 * models.column("n_heads") * length + 2 * length * heads
    return 3 * models.column("n_layers") * (project + attend + 2 * 2 * d * inner)
