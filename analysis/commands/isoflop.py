"""`python -m analysis isoflop TABLE`: the best size at each budget (approach 2)."""

from analysis import headline
from analysis.commands import answers, frontier, shared
from analysis.commands.arguments import FRONTIER, OPTIONS, add_options, command
from analysis.figures import plot_isoflop


def add(commands) -> None:
    sub = command(commands, "isoflop", run)
    sub.add_argument("--method", **OPTIONS["--valley"])
    add_options(sub, *FRONTIER, "--figure")


def run(options) -> int:
    def answer(group, runs):
        iso, front, choice = shared.valleys(options, runs, options.method)
        if choice and options.method is None:
            iso, front = choice.chosen.iso, choice.frontier
        content = frontier.as_json(front, choice=choice)
        best = headline.choose([front])
        answers.head(group, best)
        frontier.show(group, runs, front, iso, choice=choice, best=best)
        for valley in iso.valleys:
            if valley.status != "ok":
                print(f"  {valley.budget:.3g} is {valley.status}: {valley.message}")
        answers.suggest(options, "frontier")
        return content, lambda: plot_isoflop(iso, front)

    return shared.each_group(options, answer)
