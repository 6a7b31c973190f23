"""Fits scaling laws to any table of (params, tokens, loss). Never imports `lab` or jax."""
