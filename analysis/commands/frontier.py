"""`python -m analysis frontier TABLE --at F,F`: params, tokens and loss against compute."""

import numpy as np

from analysis import frontiers, headline
from analysis.commands import answers, shared
from analysis.commands.arguments import ENVELOPE, FRONTIER, add_fit_options, add_options, command
from analysis.commands.fit import add_law_name
from analysis.figures import plot_frontier
from analysis.fitting.band import span
from analysis.tables import table

MOST = 15  # points printed of a frontier


def add(commands) -> None:
    sub = command(commands, "frontier", run)
    add_options(sub, "--at")
    help = "by a fitted law, isoFLOP valleys, the envelope of curves, or all (default all)"
    sub.add_argument("--method", choices=("fit", "isoflop", "envelope", "all"), default="all", help=help)
    sub.add_argument("--curves", metavar="FILE", help="training curves of the table's runs, for the envelope")
    add_options(sub, *ENVELOPE, "--valley")
    add_law_name(sub)
    add_fit_options(sub)
    add_options(sub, *FRONTIER, "--figure")


def run(options) -> int:
    methods = ("isoflop", "fit") if options.method == "all" else (options.method,)
    if options.curves and options.method in ("all", "envelope"):
        methods = (*(m for m in methods if m != "envelope"), "envelope")
    elif options.curves:
        raise ValueError(f"--curves goes with --method envelope or all, not {options.method}")
    elif options.method == "envelope" and options.points == "all":
        raise ValueError(
            "--method envelope needs training curves: --curves FILE; or --points "
            "final, which takes the table's own rows"
        )
    curves = table.read(options.curves) if options.curves else None

    def answer(group, runs):
        fronts, choices, refused, fitted = [], [], [], None
        for method in methods:
            try:
                front, choice, law = make_frontier(method, options, runs, curves)
                fitted = fitted or law
                fronts.append(front)
                choices.append(choice)
            except ValueError as error:
                refused.append((method, str(error)))
        refused = shared.each_once(refused)
        if not fronts:
            raise ValueError("; ".join(refused))
        favoured = [choice.frontier if choice else f for f, choice in zip(fronts, choices, strict=True)]
        best = answers.choose(options, runs, favoured, fitted)
        none = "No method gives an exponent; each says below why."
        answers.head(group, best, options.at[-1] if options.at else None, none)
        shown = [
            choice.frontier if choice and options.valley is None else front
            for front, choice in zip(fronts, choices, strict=True)
        ]
        for front, choice in zip(shown, choices, strict=True):
            again, verbose = front is not shown[0], options.verbose
            show(group, runs, front, None, options.at, choice, again=again, verbose=verbose, best=best)
        for reason in refused:
            print(f"no frontier by {reason}\n")
        if len(fronts) > 1:
            known = {front.method for front in shown}
            print_beside([*shown, *(front for front in fronts if front.method not in known)], options.at)
            print("\n".join(frontiers.describe_agreements(shown)) + "\n")
        objects = [as_json(f, options.at, choice) for f, choice in zip(shown, choices, strict=True)]
        seen = best.seen if best else max(front.flops.max() for front in fronts)
        budget = options.at[-1] if options.at else seen
        answers.suggest(options, *answers.after(best, "decide", "--budget", headline.power(budget)))
        return objects, lambda: plot_frontier(shown, at=options.at or ())

    return shared.each_group(options, answer, several=options.method == "all")


def make_frontier(method: str, options, runs, curves):
    """One approach's frontier under the table's cost function; of valleys, which way is favoured here; and
    the law that was fitted. None for what an approach has not."""
    if method == "isoflop":
        return *shared.valleys(options, runs, options.valley)[1:], None
    if method == "fit":
        fitted, front = shared.parametric(options, runs)
        return front, None, fitted
    envelope = shared.traced(options, runs if curves is None else curves, runs)
    return frontiers.from_envelope(envelope, frontiers.fit_cost(runs, options.cost)), None, None


def print_beside(fronts: list[frontiers.Frontier], at: list[float] | None) -> None:
    """All approaches side by side under one cost: exponents, and the best params at a budget."""
    flops = at[-1] if at else min(front.flops.max() for front in fronts)
    print("side by side")
    print(f"  {'':<32}{'a (params)':<24}{'b (tokens)':<24}params at {flops:.3g} FLOPs")
    for front in fronts:
        try:
            n = front.at([flops])[0]
            size = f"{n.value[0]:.4g}"
            size += f" {span(n.low[0], n.high[0], '{:.3g}'.format)}"
        except ValueError:
            size = "none"
        print(
            f"  {front.method:<32}{front.params_exponent!s:<24}{front.tokens_exponent!s:<24}"
            f"{size}  [{front.status}]"
        )
    print()


def as_json(
    front: frontiers.Frontier, at: list[float] | None = None, choice: frontiers.Choice | None = None
) -> dict:
    """`low` and `high` of a point are the 95 % interval of its params. `headline`, of valleys, is by the way
    that this table favours, its intervals held open for all that are as defensible."""
    content = frontier_json(front, at)
    if choice:
        ways = [
            shared.pick(way, "method", "bias", "noise", "error")
            | {
                "params_exponent": shared.band_json(way.front.params_exponent),
                "status": way.front.status,
                "defensible": way in choice.defensible,
            }
            for way in choice.ways
        ]
        content["headline"] = frontier_json(choice.frontier, at) | {
            "chosen": choice.chosen.method,
            **shared.pick(choice, "reason", "gap", "beyond_noise"),
            "noise": choice.half,
            "ways": ways,
        }
    return content


def frontier_json(front: frontiers.Frontier, at: list[float] | None) -> dict:
    if at:
        rows = point_rows(at, *front.at(at), [front.status] * len(at)) if reaches(front) else []
    else:
        rows = point_rows(front.flops, front.params, front.tokens, front.loss, front.point_status)
    keys = ("flops", "params", "tokens", "loss", "low", "high", "status")
    return {
        **shared.pick(front, "method", "convention"),
        "cost": str(front.cost),
        "params_exponent": shared.band_json(front.params_exponent),
        "tokens_exponent": shared.band_json(front.tokens_exponent),
        "points": [dict(zip(keys, row, strict=True)) for row in rows],
        **shared.pick(front, "status", "message"),
        "bias_check": bias_json(front, at),
        "cautions": front.cautions,
    }


def bias_json(front: frontiers.Frontier, at: list[float] | None) -> dict | None:
    """What approach 2 would return on noise-free data; null for other methods. `params_ratio` is
    at `flops`, the largest budget used, and again at each of `at`."""
    check = front.bias_check
    if check is None:
        return None
    keys = ("a_from_law", "a_by_method", "shift", "params_ratio", "flops", "status", "message")
    further = zip(at or (), check.at(at or ()), strict=True)
    rows = [{"flops": flops, "params_ratio": ratio} for flops, ratio in further]
    return shared.pick(check, *keys) | {"at": rows}


def show(
    group,
    runs,
    front: frontiers.Frontier,
    iso=None,
    at=None,
    choice=None,
    again=False,
    verbose=True,
    best=None,
) -> None:
    """`again`: of a table whose head and cost are said already; `best`: the headline that stands above."""
    print_summary(group, runs, front, iso, again, verbose, best)
    if verbose or at:
        print_bias(front, at)
    print(f"\n  {'flops':>10}  {'params':>10} {'95 %':>22}  {'tokens':>10}  {'loss':>8}  status")
    rows = point_rows(front.flops, front.params, front.tokens, front.loss, front.point_status)
    few = rows if len(rows) <= MOST else [rows[i] for i in np.linspace(0, len(rows) - 1, MOST, dtype=int)]
    print_points(few)
    if len(few) < len(rows):
        print(f"  ({MOST} of {len(rows)} points; --json holds all)")
    if at:
        print_at(front, at)
    if choice:
        if verbose:
            shared.paragraph("headline", str(choice))
        if at and front is not choice.frontier:
            print_at(choice.frontier, at)
    print()


def print_summary(group, runs, front, iso=None, again=False, verbose=True, best=None) -> None:
    """As `show` is told."""
    if again:
        print(f"frontier by {front.method}")
    else:
        shared.print_head(group, runs, f"frontier by {front.method}", front.cautions)
        if verbose:
            print(f"  cost        {front.cost}")
    if iso is not None:
        known = f"{iso.noise.sigma:.2g} in log loss, from " if np.isfinite(iso.noise.sigma) else ""
        print(f"  noise       {known}{iso.noise.source}")
        for note in iso.notes:
            print(f"              {note}")
    shared.paragraph("status", answers.unsaid(best, f"{front.status}: {front.message}"))
    print(f"  params ∝ flops^a   a = {front.params_exponent}")
    print(f"  tokens ∝ flops^b   b = {front.tokens_exponent}")


def reaches(front: frontiers.Frontier) -> bool:
    """Whether a frontier has a line to be extended."""
    return bool(np.isfinite(front.params_exponent.value))


def print_at(front: frontiers.Frontier, at: list[float]) -> None:
    if not reaches(front):
        return print("  nothing at the budgets asked for: too few minima for a line to extend")
    print(f"  at the budgets asked for (loss by {front.loss_note}):")
    print_points(point_rows(at, *front.at(at), [headline.where(front, f) for f in at]))


def print_bias(front: frontiers.Frontier, at: list[float] | None) -> None:
    check = front.bias_check
    if check is None:
        return
    shared.paragraph("bias check", str(check))
    if check.status == "ok" and at:
        further = zip(at, check.at(at), strict=True)
        line = ", ".join(f"{100 * (ratio - 1):+.1f} % at {flops:.3g}" for flops, ratio in further)
        shared.paragraph("", f"extrapolated params: {line} FLOPs")


def point_rows(flops, params, tokens, loss, words) -> list[tuple]:
    """(flops, params, tokens, loss, the 95 % low and high of params, a word) of each point."""
    columns = (flops, params.value, tokens.value, loss.value, params.low, params.high, words)
    return list(zip(*columns, strict=True))


def print_points(rows) -> None:
    for flops, n, d, loss, low, high, words in rows:
        ends = span(low, high)
        seen = "-" if words == "edge" or np.isnan(loss) else f"{loss:.4f}"  # beyond all sizes none was seen
        n, d = ("-" if np.isnan(each) else f"{each:.4g}" for each in (n, d))
        print(f"  {flops:>10.3g}  {n:>10} {ends:>22}  {d:>10}  {seen:>8}  {words}")
