"""All laws by the name a command line calls them by. Each is a small class in a file of this package."""

from analysis.laws.base import Law, Sum, Term, lacking
from analysis.laws.beyond import DataConstrained, DownstreamError, OverTrained
from analysis.laws.jets import Array
from analysis.laws.joint import Chinchilla, Joint, KaplanData, KaplanSteps
from analysis.laws.recipe import BestBatch, BestRate, Experts, Granularity, Parallel, Precision, Vocabulary
from analysis.laws.single import (
    BatchSteps,
    BrokenPower,
    CriticalBatch,
    PowerLaw,
    PurePower,
    Rectified,
    SaturatingPower,
    Sigmoid,
    TwoSidedPower,
)
from analysis.laws.tuned import Tuned

LAWS: dict[str, type[Law]] = {
    "chinchilla": Chinchilla,
    "joint": Joint,
    "kaplan-nd": KaplanData,
    "kaplan-ns": KaplanSteps,
    "data-constrained": DataConstrained,
    "over-trained": OverTrained,
    "downstream": DownstreamError,
    "power": PowerLaw,
    "m1": PurePower,
    "m2": PowerLaw,
    "m3": SaturatingPower,
    "m4": TwoSidedPower,
    "bnsl": BrokenPower,
    "sigmoid": Sigmoid,
    "rectified": Rectified,
    "critical-batch": CriticalBatch,
    "batch-steps": BatchSteps,
    "best-rate": BestRate,
    "best-batch": BestBatch,
    "precision": Precision,
    "granularity": Granularity,
    "vocabulary": Vocabulary,
    "parallel": Parallel,
    "experts": Experts,
    "tuned": Tuned,
}
