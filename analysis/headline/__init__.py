"""One answer for a table, in words."""

from analysis.figures.words import typed as power
from analysis.headline.headline import DOUBT, FAIR, SHARP, Headline, choose, is_trusted
from analysis.headline.words import is_far, model_of, where
