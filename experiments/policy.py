"""Does policy gradient on a learned reward spend more divergence than the best of n for the same true reward?

Question: the policies and proxies of experiments.reward, of two sizes and of 1,000 and 10,000 comparisons:
          how do the true reward and the proxy's own go with the root of KL as REINFORCE raises the proxy's,
          without a penalty on KL and with one, and beside the best of n?
Command:  python -m lab run experiments.policy   (:accelerator, :smoke)
Cost:     laptop: 4 runs, 4.4e10 FLOPs, about 1 minute on two cores, none where experiments.reward was
          run; then 1.2e12 FLOPs of proxies and policies, some 4 minutes;
          accelerator: 3 runs, 1.5e13 FLOPs; then 2.5e15, most of it a whole pass for each token written
Answer:   expected: as Gao et al. 2022 (arXiv 2210.10760) find, gold goes as d (alpha - beta log d), rises
          slower with d than the best of n, and needs 2 to 10 times its KL for the gold that the best of 16
          has. Without a penalty it goes far beyond the best of 4,096, past d = 3, where gold of 1,000
          comparisons peaks and falls, told from chance, for both sizes; of 10,000 it falls less or not yet.
          The proxy's own score rises throughout, and higher than the best of n can take it. A penalty ends
          at a smaller d and moves gold over d by less than its own interval: it only stops earlier

A policy is the run, trained on by REINFORCE with the batch's mean as its baseline; gold, proxy and KL are
measured on what it wrote at each update, in the units of experiments.reward. KL is summed over a text, and
exact over each next token. The best of n is experiments.reward's, of the same proxies and seeds.

Refused: without a penalty gold does not rise before it falls, but falls at once, by 4 to 10 deviations
at d = 6, as the proxy's own goes on rising; so the form fits nothing there. And a penalty does more
than stop earlier: with it gold ends at .2 to .5 from .1, at 3 times the KL of the best of 16, as expected.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from experiments import reward
from experiments.reports import figures_after, measured, tables
from experiments.reports.seeds import band, ends
from lab.config import RunConfig
from lab.data.languages import parse_language
from lab.models import counts
from lab.store.store import Store
from lab.trained import policy, preferences, weights

KNOWN = 4096  # texts that tell the mean and deviation of a reward
BESIDE = 16  # the best of so many is what a policy is asked to reach


@dataclass(frozen=True)
class Size:
    """Which of reward's policies and proxies, and how the policies are trained."""

    seeds: int
    widths: tuple[int, ...]
    comparisons: tuple[int, ...]
    penalties: tuple[float, ...]  # deviations of the reward a nat
    updates: int
    batch: int  # texts
    rate: float = 0.005


SIZES = {
    "laptop": Size(4, (4, 16), (1_000, 10_000), (0.0, 0.2), 96, 48),
    "accelerator": Size(3, (8, 64), (1_000, 10_000, 100_000), (0.0, 0.2), 512, 256),
    "smoke": Size(1, (4,), (50, 200), (0.0, 0.2), 32, 16),
}


def runs(size: str = "laptop") -> list[RunConfig]:
    return reward.runs(size)[: SIZES[size].seeds]


def spans(updates: int) -> list[tuple[int, int]]:
    """Updates that are measured together: ever more of them, at most an eighth of all."""
    edges = [0, 1]
    while edges[-1] < updates:
        edges.append(min(updates, edges[-1] + max(1, min(edges[-1], updates // 8))))
    return list(pairwise(edges))


def measure(run: weights.Trained, size: str) -> Iterator[measured.Row]:
    """A row a proxy, penalty and span of updates: KL from the run, and gold and proxy, each over its mean in
    the run's texts, in its standard deviations there."""
    setup, of = SIZES[size], reward.SIZES[size]
    language, _ = parse_language(of.language)
    known = reward.texts(run, language, of, KNOWN, 2 * run.config.seed)
    true = reward.gold(language, known)
    prompts = language.documents(KNOWN, language.order + 1, run.config.seed)[:, : language.order]
    better, worse = reward.told(run, language, of)
    begin = jax.device_put(run.params)
    for width in setup.widths:
        cfg, tasks = reward.proxy_of(run, width), []
        for C in setup.comparisons:
            made = preferences.learn(cfg, better[:C], worse[:C], reward.UPDATES, reward.RATE, run.config.seed)
            score = preferences.reward(cfg, made, known)
            tasks += [
                policy.Task(begin, made, score.mean(), score.std(), jnp.float32(each))
                for each in setup.penalties
            ]
        train = lambda task, cfg=cfg: policy.reinforce(  # noqa: E731
            run.config.model,
            cfg,
            task,
            prompts,
            setup.updates,
            setup.batch,
            setup.rate,
            jax.random.key(run.config.seed),
        )
        course = jax.device_get(jax.vmap(train)(jax.tree.map(lambda *leaves: jnp.stack(leaves), *tasks)))
        cells = [(C, penalty) for C in setup.comparisons for penalty in setup.penalties]
        for place, (C, penalty) in enumerate(cells):
            own = policy.Course(*(part[place] for part in course))
            gold = reward.gold(language, own.texts_UBL.reshape(-1, of.length)).reshape(setup.updates, -1)
            at = {"seed": run.config.seed, "params": counts.count_params(cfg).params, "comparisons": C}
            for first, last in spans(setup.updates):
                yield at | {
                    "penalty": penalty,
                    "updates": (first + last - 1) / 2,
                    "kl": round(float(own.divergence_U[first:last].mean()), 6),
                    "gold": round(float((gold[first:last].mean() - true.mean()) / true.std()), 5),
                    "proxy": round(float(own.proxy_UB[first:last].mean()), 5),
                }


@dataclass(frozen=True)
class Curve:
    """Policies of one proxy's settings and penalty by seed, (seeds, spans), and the best of n beside them."""

    params: int
    comparisons: int
    penalty: float
    d: np.ndarray  # root of KL
    gold: np.ndarray
    proxy: np.ndarray
    best: reward.Curve  # of the same seeds

    @property
    def fits(self) -> np.ndarray:
        """Of each seed alpha and beta of d (alpha - beta log d), (2, seeds)."""
        return np.array([self.fit(*of) for of in zip(self.d, self.gold, strict=True)]).T

    @staticmethod
    def fit(d: np.ndarray, gold: np.ndarray) -> np.ndarray:
        d, gold = d[d > 0], gold[d > 0]
        return np.linalg.lstsq(np.column_stack([d, -d * np.log(d)]), gold, rcond=None)[0]

    @property
    def off(self) -> float:
        """Root mean square of what the fits leave, over the highest mean gold reward."""
        left = [
            gold[d > 0] - d[d > 0] * (alpha - beta * np.log(d[d > 0]))
            for d, gold, alpha, beta in zip(self.d, self.gold, *self.fits, strict=True)
        ]
        return float(np.sqrt(np.mean(np.concatenate(left) ** 2)) / self.gold.mean(0).max())

    @property
    def spent(self) -> np.ndarray:
        """Of each seed the KL at which its policy has the gold reward of the best of BESIDE, over theirs;
        infinite where it never has."""
        n = np.searchsorted(self.best.d, preferences.divergence(BESIDE) ** 0.5 - 1e-9)
        out = []
        for d, gold, wanted in zip(self.d, self.gold, self.best.gold[:, n], strict=True):
            (above,) = np.nonzero(gold >= wanted)
            if not len(above) or above[0] == 0:
                out.append(np.inf)
                continue
            ends = slice(above[0] - 1, above[0] + 1)
            out.append(np.interp(wanted, gold[ends], d[ends]) ** 2 / self.best.d[n] ** 2)
        return np.array(out)

    @property
    def fall(self) -> np.ndarray:
        """Of each seed, from the span at which the mean gold is highest to the last."""
        return self.gold[:, self.gold.mean(0).argmax()] - self.gold[:, -1]


def curves(path: Path) -> list[Curve]:
    lines, found = tables.lines_of(path), []
    best = {(each.params, each.comparisons): each for each in reward.curves(tables.kept("reward"))}
    cell_of = lambda line: (int(line["params"]), int(line["comparisons"]), float(line["penalty"]))  # noqa: E731
    for cell in dict.fromkeys(map(cell_of, lines)):
        own = [line for line in lines if cell_of(line) == cell]
        seeds = len({line["seed"] for line in own})
        kl, gold, proxy = (
            np.reshape([float(line[name]) for line in own], (seeds, -1)) for name in ("kl", "gold", "proxy")
        )
        if cell[:2] in best:
            found.append(Curve(*cell, np.sqrt(kl), gold, proxy, first(best[cell[:2]], seeds)))
    return found


def first(curve: reward.Curve, seeds: int) -> reward.Curve:
    """A curve of best of n, of its first seeds alone."""
    parts = ("gold", "proxy", "alpha", "beta", "correlation")
    return replace(curve, **{name: getattr(curve, name)[:seeds] for name in parts})


def answer(path: Path) -> list[str]:
    found, words = curves(path), []
    for each in found:
        (alpha, beta), gold, d = each.fits, each.gold.mean(0), each.d.mean(0)
        spent = each.spent
        reached = np.isfinite(spent)
        cost = "{:.2g} ({:.2g} to {:.2g})".format(*np.exp(band(np.log(spent)))) if reached.all() else "-"
        words.append(
            f"N={each.params:,}, {each.comparisons:,} comparisons, penalty {each.penalty:g}: gold "
            f"{gold.max():.2f} at most, at d = {d[gold.argmax()]:.2f}, and {ends(each.fall)} less at the "
            f"end, d = {d[-1]:.2f}; proxy {each.proxy.mean(0)[-1]:.2f} there; alpha {ends(alpha)}, beta "
            f"{ends(beta)} (best of n {ends(each.best.alpha)}, {ends(each.best.beta)}), off by "
            f"{100 * each.off:.0f} % of the peak; the gold of the best of {BESIDE} by {reached.sum()} of "
            f"{len(spent)} seeds, at {cost} times its KL"
        )
    free = [each for each in found if each.penalty == 0]
    falls = sum(band(each.fall)[1] > 0 for each in free)
    held = np.concatenate([each.spent for each in found if each.penalty])
    alone = np.concatenate([each.spent for each in free])
    near = held[np.isfinite(held)]
    times = np.median(near) if near.size else np.nan
    head = (
        f"the gold of the best of {BESIDE}: by {len(near)} of {len(held)} policies with a penalty, at "
        f"{times:.2g} times its KL; without, by {np.isfinite(alone).sum()} of {len(alone)}, and gold falls"
    )
    words.append(f"without a penalty gold falls, told from chance, for {falls} of {len(free)} proxies")
    return [head, *words]


def report(store: Store, out: Path, size: str = "laptop") -> None:
    """policy.csv (gold, proxy and KL as policies are trained), policy.png, and what they say."""
    out.mkdir(parents=True, exist_ok=True)
    path, names = out / "policy.csv", (reward.SIZES[size].language,)
    own, kept = partial(runs, size), tables.kept(tables.name_of("policy", size))
    measured.write(store, own, names, partial(measure, size=size), path, kept)
    if found := curves(path):  # beside the committed best of n
        print("\n".join(answer(path)))
        figures_after.policy(found).savefig(out / "policy.png")
        print(f"figure in {out}")
