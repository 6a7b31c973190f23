"""Laws fitted to tables: the estimate, its status, and its intervals by profile and by resampling."""

from analysis.fitting.band import Band
from analysis.fitting.bootstrap import BOOTSTRAPS, intervals, resample, rows_share_runs
from analysis.fitting.prediction import Prediction, chain, predict, score
from analysis.fitting.regression import Fit, Objective, objective_of
from analysis.fitting.select import fit
from analysis.fitting.solve import OBJECTIVES
from analysis.fitting.status import undetermined
