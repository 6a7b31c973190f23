"""Trains grids of small language models and keeps every run. Knows nothing of fitting."""

from lab.data import corpora
from lab.plan import grid
