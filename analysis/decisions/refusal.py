"""Whether a table bears a forecast of an asked error: what the forms of the law differ by there, how well
the table's own largest runs are forecast from a quarter and half of their compute, and whether they leave the
law."""

import numpy as np

from analysis import fitting
from analysis.audit.bend import find_bend
from analysis.fitting import Fit
from analysis.frontiers import fit_cost


def doubts(fitted: Fit, params: float, tokens: float, within: float) -> list[str]:
    """Why a forecast of the loss at `params` and `tokens` to a share `within` is not to be relied on; empty
    where nothing speaks against it, or nothing is asked for (inf). The forms of "auto" are fitted to the same
    rows where they are not yet.

    Raises:
      ValueError: the rows cannot be fitted.
    """
    if np.isinf(within):
        return []
    objective = fitted.objective
    options = {"objective": objective.name, "delta": objective.delta or 1e-3}
    forms = (fitted if fitted.forms else fitting.fit("auto", fitted.runs, **options)).forms
    with np.errstate(all="ignore"):
        logs = np.array([np.log(form.law.loss(params, tokens)) for form in forms])
    weights = np.array([form.weight for form in forms]) * np.isfinite(logs)
    weights, logs = weights / weights.sum(), np.where(np.isfinite(logs), logs, 0.0)
    middle = weights @ logs
    spread, asked = (
        1.96 * float(np.sqrt(weights @ (logs - middle) ** 2)),
        f"the {100 * within:.3g} % asked for",
    )
    out, error = [], forms[0].error
    if spread > within:
        best = {form.name: form.law for form in reversed(forms)}
        losses = ", ".join(f"{name} {law.loss(params, tokens):.4g}" for name, law in best.items())
        out.append(
            f"forms of the law that these runs do not tell apart differ there by "
            f"{100 * spread:.2g} %, over {asked} ({losses})"
        )
    if np.isinf(error):
        out.append(
            "no larger runs of the table could be forecast from the smaller ones, so nothing shows "
            "that the law extrapolates"
        )
    elif error > within:
        out.append(
            f"the table's own largest runs are forecast from a quarter and half of their compute "
            f"to {100 * error:.2g} % at best, over {asked}"
        )
    return [*out, *filter(None, [bends(fitted, params, tokens, within)])]


def bends(fitted: Fit, params: float, tokens: float, within: float) -> str:
    """How the largest runs leave the fitted law, where a forecast that carries it on would be off by two
    thirds of what is asked for or more; or may leave it, where by much more than that; else ""."""
    if not fitted.runs.has("flops") or not set(fitted.law.inputs) <= {"params", "tokens", "flops"}:
        return ""
    price = fit_cost(fitted.runs)
    at = {"params": params, "tokens": tokens, "flops": price.k * params**price.p * tokens}
    bend = find_bend(fitted, np.array([at["flops"]]), [np.array([at[name]]) for name in fitted.law.inputs])
    if bend is None or not bend.forbids(within).all():
        return ""
    off = f"off by {100 * bend.size[0]:.2g} %"
    if bend.speaks_against(within).all():
        return f"the law bends: {bend}, so that a forecast there is {off} at least"
    return f"the law may bend, as these runs do not exclude: {bend}; a forecast there would then be {off}"
