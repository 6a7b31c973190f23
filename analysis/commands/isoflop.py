"""`python -m analysis isoflop TABLE`: the best size at each budget (approach 2)."""

from analysis.commands import frontier, shared
from analysis.frontiers import isoflop


def add(commands) -> None:
    sub = shared.command(commands, "isoflop", run, "the best size at each budget")
    sub.add_argument("--method", choices=isoflop.METHODS, default="interpolate")
    shared.add_frontier_options(sub)
    shared.add_figure(sub)


def run(options) -> int:
    results = []

    def one(group, runs) -> None:
        iso, found = shared.valleys(options, runs, options.method)
        frontier.show(group, runs, found, iso)
        for each in iso.profiles:
            if each.status != "ok":
                print(f"  {each.budget:.3g} is {each.status}: {each.message}")
        results.append(shared.with_group(group, frontier.as_json(found)))
        if options.figure:
            from analysis.figures import figures

            shared.save(options, group, lambda: figures.isoflop(iso, found))

    status = shared.each_group(options, one)
    shared.write_json(options, results)
    return status
