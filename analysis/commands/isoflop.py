"""`python -m analysis isoflop TABLE`: the best size at each budget (approach 2)."""

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
        frontier.show(group, runs, front, iso, choice=choice)
        for valley in iso.valleys:
            if valley.status != "ok":
                print(f"  {valley.budget:.3g} is {valley.status}: {valley.message}")
        answers.suggest(options, "frontier")
        return frontier.as_json(front, choice=choice), lambda: plot_isoflop(iso, front)

    return shared.each_group(options, answer)
