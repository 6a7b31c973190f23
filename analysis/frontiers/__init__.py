"""Compute-optimal frontiers by three approaches: envelopes of curves, isoFLOP valleys, fitted laws."""

from analysis.frontiers.bias import BiasCheck
from analysis.frontiers.choice import Choice, choose_valleys
from analysis.frontiers.comparison import agreement, compare_bands, describe_agreement, describe_agreements
from analysis.frontiers.costs import SIX, Cost, fit_cost
from analysis.frontiers.envelope import POINTS, Envelope, trace_envelope
from analysis.frontiers.frontier import (
    Frontier,
    budgets_of,
    convention,
    from_envelope,
    from_fit,
    from_isoflop,
)
from analysis.frontiers.isoflop import VALLEY_METHODS, Isoflop, Valley, find_optima
from analysis.frontiers.replicates import Noise
from analysis.frontiers.speedup import Speedup, speedups
