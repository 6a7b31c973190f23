"""Trains grids of small language models and keeps every run. Knows nothing of fitting."""
