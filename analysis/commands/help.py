"""How every command's help reads: one line, two examples, common options before rare ones."""

import argparse

PAGES = """\
Fit a law's parameters.
  fit runs.csv
  fit runs.csv --law auto --intervals auto --figure law.png
The best size at each budget.
  isoflop runs.csv
  isoflop runs.csv --method parabola --figure valleys.png
The best run at each compute, from training curves.
  envelope curves.csv --runs runs.csv
  envelope curves.csv --at 1e15 --figure envelope.png
The rest of each training curve from its part, under its learning rates.
  curves curves.csv --runs runs.csv
  curves curves.csv --runs runs.csv --part 0.75 --figure curves.png
Params, tokens and loss against compute.
  frontier runs.csv
  frontier runs.csv --at 1e14,1e15 --figure frontier.png
Exponents under every counting of parameters and FLOPs.
  ledger runs.csv
  ledger runs.csv --method fit --figure ledger.png
What each run needs to reach a loss, beside a baseline: steps to equal loss.
  speedup curves.csv
  speedup curves.csv --baseline adamw --json speedup.json
The best learning rate per size and length, and a rule for others (--at asks it, --json keeps it).
  rates runs.csv
  rates runs.csv --at params=1e8,tokens=2e9
Which runs of a rate sweep could have stopped early, replayed on their curves; it stops none itself.
  losers runs.csv --curves curves.csv
  losers runs.csv --curves curves.csv --setting weight_decay --length 4000
What a fitted law says of new runs.
  predict runs.csv --at params=1e8,tokens=2e9
  predict runs.csv --at-table planned.csv --law auto
What may not be trusted of a table and its fit, and why.
  audit runs.csv
  audit runs.csv --at 1e15 --figure audit.png
What to train with a budget, or for a loss.
  decide runs.csv --budget 1e15
  decide runs.csv --target-loss 2.2 --serve 1e12 --figure plan.png
Writes one offline HTML page that answers what to train, how long and at what price.
  planner runs.csv
  planner runs.csv -o planner.html --where 'loss < 4'
How many times a baseline's compute an arm is worth, and how that changes.
  compare base.csv change.csv
  compare runs.csv --arm optimizer -o compare.html
Which runs to add so that an interval shrinks most.
  suggest runs.csv --for exponent --flops 1e15
  suggest runs.csv --for loss@1e17 --flops 1e15 -o grid.py
One HTML page with figures, tables and warnings.
  report runs.csv -o report.html
  report runs.csv --curves curves.csv -o report.html
Published scaling laws, computed again: every claim with a verdict.
  reproduce hoffmann2022 --download
  reproduce all --data tables --figures figures
"""  # of every command what it does, and two examples to type after `python -m analysis`
LINES = [line.strip() for line in PAGES.splitlines()]
COMMANDS = {line.split()[0]: LINES[i - 1 : i + 2] for i, line in enumerate(LINES) if i % 3 == 1}
COMMON = (  # options in the order in which they are asked for; what is not here comes after
    "help compute target_loss planned at at_table asked spend law method arm baseline curves runs intervals "
    "where by best_of output figure figures json data download verbose serve data_cap hold_out params tokens "
    "flops loss budget"
).split()


class Help(argparse.RawDescriptionHelpFormatter):
    """Room for the names of options."""

    def __init__(self, prog: str):
        super().__init__(prog, max_help_position=28, width=100)


def arrange(commands: argparse._SubParsersAction) -> None:
    """Give every command's help its sentence, its examples, a short usage and its options in order."""
    rank = {name: place for place, name in enumerate(COMMON)}
    for name, parser in commands.choices.items():
        sentence, *examples = COMMANDS[name]
        parser.formatter_class = Help
        lines = "\n".join(f"  python -m analysis {words}" for words in examples)
        parser.description = f"{sentence}\n\n{lines}"
        needed = [action for action in parser._actions if action.option_strings and action.required]
        words = [f"{action.option_strings[-1]} {action.metavar}" for action in needed]
        choices = [group for group in parser._mutually_exclusive_groups if group.required]
        for each in choices:
            either = [f"{action.option_strings[-1]} {action.metavar}" for action in each._group_actions]
            words.append(f"({' | '.join(either)})")
        given = [action for action in parser._actions if not action.option_strings]
        words += [f"{action.metavar}{' [...]' * (action.nargs == '+')}" for action in given]
        parser.usage = f"%(prog)s {' '.join(words)} [options]"
        parser._optionals.title = "options, those most asked for first"
        parser._optionals._group_actions.sort(key=lambda action: rank.get(action.dest, len(rank)))
