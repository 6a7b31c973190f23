"""What to train, worked out from a fitted law and from every draw of it."""

from analysis.decisions.answer import Answer, add_prices
from analysis.decisions.questions import least_compute, least_loss, least_loss_capped, planned_run
from analysis.decisions.refusal import doubts
