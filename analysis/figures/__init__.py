"""Figures for a paper: each takes tables and fits and returns a Figure, which it neither shows nor saves.

Captions are made from the same objects as the curves, so that they cannot say something else.
"""

from analysis.figures.audit import plot_audit
from analysis.figures.decisions import plot_decision
from analysis.figures.envelope import plot_envelope
from analysis.figures.frontier import plot_frontier
from analysis.figures.isoflop import plot_isoflop
from analysis.figures.law import plot_fit, plot_law, plot_predicted
from analysis.figures.ledger import plot_ledger
from analysis.figures.places import plot_places
