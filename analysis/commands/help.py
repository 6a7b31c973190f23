"""How every command's help reads: one line, two examples, common options before rare ones."""

import argparse

EXAMPLES = {  # of every command, what to type after `python -m analysis`
    "fit": ("fit runs.csv", "fit runs.csv --law auto --intervals auto --figure law.png"),
    "isoflop": ("isoflop runs.csv", "isoflop runs.csv --method parabola --figure valleys.png"),
    "envelope": (
        "envelope curves.csv --runs runs.csv",
        "envelope curves.csv --at 1e15 --figure envelope.png",
    ),
    "curves": (
        "curves curves.csv --runs runs.csv",
        "curves curves.csv --runs runs.csv --part 0.75 --figure curves.png",
    ),
    "frontier": ("frontier runs.csv", "frontier runs.csv --at 1e14,1e15 --figure frontier.png"),
    "ledger": ("ledger runs.csv", "ledger runs.csv --method fit --figure ledger.png"),
    "speedup": ("speedup curves.csv", "speedup curves.csv --baseline adamw --json speedup.json"),
    "rates": ("rates runs.csv", "rates runs.csv --at params=1e8,tokens=2e9"),
    "losers": (
        "losers runs.csv --curves curves.csv",
        "losers runs.csv --curves curves.csv --setting weight_decay --length 4000",
    ),
    "predict": (
        "predict runs.csv --at params=1e8,tokens=2e9",
        "predict runs.csv --at-table planned.csv --law auto",
    ),
    "audit": ("audit runs.csv", "audit runs.csv --at 1e15 --figure audit.png"),
    "decide": (
        "decide runs.csv --budget 1e15",
        "decide runs.csv --target-loss 2.2 --serve 1e12 --figure plan.png",
    ),
    "planner": ("planner runs.csv", "planner runs.csv -o planner.html --where 'loss < 4'"),
    "compare": ("compare base.csv change.csv", "compare runs.csv --arm optimizer -o compare.html"),
    "suggest": (
        "suggest runs.csv --for exponent --flops 1e15",
        "suggest runs.csv --for loss@1e17 --flops 1e15 -o grid.py",
    ),
    "report": ("report runs.csv -o report.html", "report runs.csv --curves curves.csv -o report.html"),
    "reproduce": ("reproduce hoffmann2022 --download", "reproduce all --data tables --figures figures"),
}
COMMON = (  # options in the order in which they are asked for; what is not here comes after
    *(
        "help",
        "compute",
        "target_loss",
        "planned",
        "at",
        "at_table",
        "asked",
        "spend",
        "law",
        "method",
        "arm",
    ),
    *("baseline", "curves", "runs", "intervals", "where", "by", "best_of", "output", "figure", "figures"),
    *("json", "data", "download", "verbose", "serve", "data_cap", "hold_out", "params", "tokens", "flops"),
    *("loss", "budget"),
)


class Help(argparse.RawDescriptionHelpFormatter):
    """Room for the names of options."""

    def __init__(self, prog: str):
        super().__init__(prog, max_help_position=28, width=100)


def arrange(commands: argparse._SubParsersAction) -> None:
    """Give every command's help its sentence, its examples, a short usage and its options in order."""
    rank = {name: place for place, name in enumerate(COMMON)}
    for listed in commands._choices_actions:
        listed.help = sentence(listed.help)
    for name, parser in commands.choices.items():
        examples = "\n".join(f"  python -m analysis {words}" for words in EXAMPLES[name])
        parser.formatter_class = Help
        parser.description = f"{sentence(parser.description)}\n\n{examples}"
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


def sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:].rstrip('.')}."
