"""Tables of runs and curves as people have them: read, understood, filtered, cautioned about.

`table.read` leads from a file to `Runs` by these rooms, each of which is passed once: `files` and its
formats (`delimited`, `records`), `cells` (what a column is worth), `roles` (which column is what, by
`headers` and `units`), `where` (rows asked for), `rows` (rows without a result), `counts` (what no
column counts). `cautions` says of `Runs` what looks wrong.
"""

from analysis.tables.runs import Runs
from analysis.tables.table import from_columns, read
