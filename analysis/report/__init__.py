"""One self-contained HTML page that can be asked: what was found, how sure that is, and from which runs.

A pure function of tables and fits. Words that come from a table are text; the one script is the page's.
"""

from analysis.report.page import document, image, page, picture
from analysis.report.table import run_table
from analysis.report.text import paragraph, text
from analysis.report.words import card
