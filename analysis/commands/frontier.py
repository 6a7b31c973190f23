"""`python -m analysis frontier TABLE --at F,F`: params, tokens and loss against compute."""

import numpy as np

from analysis.commands import shared
from analysis.frontiers import costs, frontier, isoflop
from analysis.tables import table

MOST = 15  # points printed of a frontier


def add(commands) -> None:
    sub = shared.command(commands, "frontier", run, "params, tokens and loss against compute")
    sub.add_argument("--at", type=shared.numbers, metavar="F,F", help="budgets to extrapolate to")
    sub.add_argument("--method", choices=("fit", "isoflop", "envelope", "all"), default="all")
    sub.add_argument("--curves", metavar="FILE", help="training curves of the table's runs, for the envelope")
    shared.add_envelope_options(sub)
    sub.add_argument(
        "--valley", choices=isoflop.METHODS, default="interpolate", help="how isoflop finds a minimum"
    )
    shared.add_fit_options(sub)
    shared.add_frontier_options(sub)
    shared.add_figure(sub)


def run(options) -> int:
    results, several = [], bool(options.by) or options.method == "all"
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

    def one(group, runs) -> None:
        found, refused = [], []
        for method in methods:
            try:
                found.append(by(method, options, runs, curves))
            except ValueError as error:
                refused.append(f"{method}: {error}")
        if not found:
            raise ValueError("; ".join(refused))
        for each in found:
            show(group, runs, each, None, options.at)
            result = as_json(each, options.at)
            results.append({"group": group, **result} if several else result)
        for reason in refused:
            print(f"no frontier by {reason}\n")
        if len(found) > 1:
            beside(found, options.at)
            print("\n".join(frontier.agreement(found)) + "\n")
        if options.figure:
            from analysis.figures import figures

            shared.save(options, group, lambda: figures.frontier(found, at=options.at or ()))

    status = shared.each_group(options, one)
    shared.write_json(options, results, several)
    return status


def by(method: str, options, runs, curves) -> frontier.Frontier:
    """One approach's frontier under the table's cost function."""
    if method == "isoflop":
        return shared.valleys(options, runs, options.valley)[1]
    if method == "fit":
        return shared.parametric(options, runs)[1]
    found = shared.traced(options, runs if curves is None else curves, runs)
    return frontier.from_envelope(found, costs.of(runs, options.cost))


def beside(found: list[frontier.Frontier], at: list[float] | None) -> None:
    """All approaches side by side under one cost: exponents, and the best params at a budget."""
    flops = at[-1] if at else min(front.flops.max() for front in found)
    print(f"side by side, under {found[0].cost}")
    print(f"  {'':<32}{'a (params)':<24}{'b (tokens)':<24}params at {flops:.3g} FLOPs")
    for front in found:
        try:
            n = front.at([flops])[0]
            size = f"{n.value[0]:.4g}"
            size += f" ({n.low[0]:.3g}, {n.high[0]:.3g})" if np.isfinite(n.low[0]) else ""
        except ValueError:
            size = "none"
        print(
            f"  {front.method:<32}{front.params_exponent!s:<24}{front.tokens_exponent!s:<24}"
            f"{size}  [{front.status}]"
        )
    print()


def as_json(found: frontier.Frontier, at: list[float] | None = None) -> dict:
    """`low` and `high` of a point are the 95 % interval of its params."""

    def points(flops, params, tokens, loss, status):
        rows = zip(
            flops, params.value, tokens.value, loss.value, params.low, params.high, status, strict=True
        )
        keys = ("flops", "params", "tokens", "loss", "low", "high", "status")
        return [dict(zip(keys, row, strict=True)) for row in rows]

    if at:
        bands = found.at(at)
        shown = points(at, *bands, [found.status] * len(at))
    else:
        shown = points(found.flops, found.params, found.tokens, found.loss, found.point_status)

    def exponent(band: frontier.Band) -> dict:
        return {"value": band.value, "low": band.low, "high": band.high}

    return {
        "method": found.method,
        "convention": found.convention,
        "cost": str(found.cost),
        "params_exponent": exponent(found.params_exponent),
        "tokens_exponent": exponent(found.tokens_exponent),
        "points": shown,
        "status": found.status,
        "message": found.message,
        "bias_check": bias_json(found, at),
        "cautions": found.cautions,
    }


def bias_json(found: frontier.Frontier, at: list[float] | None) -> dict | None:
    """What approach 2 would return on noise-free data; null for other methods. `params_ratio` is
    at `flops`, the largest budget used, and again at each of `at`."""
    check = found.bias_check
    if check is None:
        return None
    keys = ("a_from_law", "a_by_method", "shift", "params_ratio", "flops", "status", "message")
    further = zip(at or (), check.at(at or ()), strict=True)
    return {key: getattr(check, key) for key in keys} | {
        "at": [{"flops": flops, "params_ratio": ratio} for flops, ratio in further]
    }


def show(group, runs, found: frontier.Frontier, iso=None, at=None) -> None:
    print_summary(group, runs, found, iso)
    print_bias(found, at)
    print(f"\n  {'flops':>10}  {'params':>10} {'95 %':>22}  {'tokens':>10}  {'loss':>8}  status")
    rows = list(
        zip(found.flops, *rows_of(found.params, found.tokens, found.loss), found.point_status, strict=True)
    )
    few = rows if len(rows) <= MOST else [rows[i] for i in np.linspace(0, len(rows) - 1, MOST, dtype=int)]
    print_lines(few)
    if len(few) < len(rows):
        print(f"  ({MOST} of {len(rows)} points; --json holds all)")
    if at:
        print_at(found, at)
    print()


def print_summary(group, runs, found: frontier.Frontier, iso=None) -> None:
    shared.print_head(group, runs, f"frontier by {found.method}")
    print(f"  cost        {found.cost}")
    if iso is not None:
        known = f"{iso.sigma:.2g} in log loss, from " if np.isfinite(iso.sigma) else ""
        print(f"  noise       {known}{iso.sigma_source}")
        for note in iso.notes:
            print(f"              {note}")
    shared.paragraph("status", f"{found.status}: {found.message}")
    print(f"  params ∝ flops^a   a = {found.params_exponent}")
    print(f"  tokens ∝ flops^b   b = {found.tokens_exponent}")


def print_at(found: frontier.Frontier, at: list[float]) -> None:
    print(f"  at the budgets asked for (loss by {found.loss_note}):")
    top = found.flops.max()
    words = [f"{f / top:.3g} × the largest budget" if f > top else "inside" for f in at]
    print_lines(zip(at, *rows_of(*found.at(at)), words, strict=True))


def print_bias(found: frontier.Frontier, at: list[float] | None) -> None:
    check = found.bias_check
    if check is None:
        return
    shared.paragraph("bias check", str(check))
    if check.status == "ok" and at:
        further = zip(at, check.at(at), strict=True)
        said = ", ".join(f"{100 * (ratio - 1):+.1f} % at {flops:.3g}" for flops, ratio in further)
        shared.paragraph("", f"extrapolated params: {said} FLOPs")


def rows_of(params, tokens, loss):
    return params.value, params.low, params.high, tokens.value, loss.value


def print_lines(lines) -> None:
    for flops, n, low, high, d, loss, status in lines:
        ends = f"({low:.4g}, {high:.4g})" if np.isfinite(low) else ""
        print(f"  {flops:>10.3g}  {n:>10.4g} {ends:>22}  {d:>10.4g}  {loss:>8.4f}  {status}")
