"""What is a teacher worth to a small model, and does it pay for itself?

Question: a Transformer of width 12 on Shakespeare learns from the text, or half from the text and half from
          what teachers of widths 20 and 32 foretell of it: how much text is the teacher worth, in the
          student's own FLOPs, with the teacher's forward passes, and with its training on top?
Command:  python -m lab run experiments.distillation   (:accelerator, :smoke)
Cost:     laptop: 10 runs, 1.16e12 FLOPs, about 2 minutes on two cores;
          accelerator: 15 runs, 1e15 FLOPs
Answer:   expected: at equal tokens the taught student ends .3 to 2 % lower, as after 1.1 to 1.8 times the
          text and more so of the larger teacher. Its forward passes (.8 and 1.7 of the student's FLOPs) eat
          that: worth .5 to 1 times the compute; with the teacher's training counted under .4, so that a
          student alone is better served by data, as Busbridge et al. 2025 (arXiv 2502.08606) find, unless a
          teacher exists or serves many

Students and teachers of text alone are runs, those of experiments.after among them; taught students are made
of the same text in the same order from the same first weights, and only the loss differs. What a loss is
worth in tokens is read off the student's own losses at three lengths, a power law between neighbours and
beyond the last.

As expected but for three things: the larger teacher is worth more only to the student of more text, to which
it is worth 1.9 times that, not 1.8 at most, and with its training counted the smaller comes to .44 there and
not under .4.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import numpy as np

from experiments import quickstart
from experiments.reports import figures_after, measured, shakespeare, tables
from lab.config import RunConfig
from lab.models import counts
from lab.store.failures import trained_as
from lab.store.store import Store
from lab.train.evaluate import Evaluator, window_nats
from lab.trained import again, weights

SHARE = 0.5  # of the loss that is the teacher's
BLOCK = 128  # windows scored at once


@dataclass(frozen=True)
class Size:
    """A student's width and tokens, of which the last but one are its teachers', and theirs."""

    student: int
    teachers: tuple[int, ...]
    tokens: tuple[int, ...]
    seeds: int


SIZES = {
    "laptop": Size(12, (20, 32), (250_000, 1_000_000, 4_000_000), 2),
    "accelerator": Size(64, (128, 256), (5_000_000, 20_000_000, 80_000_000), 3),
    "smoke": Size(8, (12,), (10_000, 20_000, 40_000), 1),
}


def runs(size: str = "laptop") -> list[RunConfig]:
    setup, data = SIZES[size], shakespeare.text(max_epochs=20)
    student, *teachers = quickstart.models((setup.student, *setup.teachers))
    cells = [(student, tokens) for tokens in setup.tokens] + [(model, setup.tokens[-2]) for model in teachers]
    seeds = range(setup.seeds)
    return [quickstart.run_of(model, tokens, data, seed) for seed in seeds for model, tokens in cells]


def measure(run: weights.Trained, store: Store, size: str) -> Iterator[measured.Row]:
    """The run's own loss, and of all students but the longest those that each teacher of its seed taught on
    the same text; FLOPs of the student's training, of the teacher's passes, and of the teacher's training."""
    setup, config, cfg, corpus = SIZES[size], run.config, run.config.model, run.corpus()
    held_out = Evaluator.from_corpus(corpus, cfg.seq_len)
    at = {"width": cfg.d_model, "tokens": config.tokens, "seed": config.seed}
    at["student"] = counts.run_flops(config)
    yield at | {"teacher": 0, "passes": 0, "training": 0, "loss": round(run.record["loss"], 6)}
    if cfg.d_model != setup.student or config.tokens == setup.tokens[-1]:
        return
    for own in runs(size):
        if own.seed != config.seed or own.model.d_model == setup.student:
            continue
        teacher = weights.read(store, trained_as(store, own).run_id)
        follow = again.from_teacher(cfg, own.model, teacher.params, SHARE)
        made = jax.device_put(again.train(config, corpus, follow))
        loss, _ = held_out.loss(held_out.nats(partial(window_nats, cfg), made, BLOCK))
        passes, training = counts.flops_exact(own.model) / 3 * config.tokens, counts.run_flops(own)
        cost = {"teacher": own.model.d_model, "passes": passes, "training": training}
        yield at | cost | {"loss": round(loss, 6)}


@dataclass(frozen=True)
class Worth:
    """Of one taught student, in tokens of text that its own loss would have taken."""

    teacher: int  # width
    tokens: int
    seed: int
    lower: float  # share by which it ends below the student of as many tokens
    times: float  # tokens of text over those that it saw: the logits are free
    passes: float  # ... in FLOPs, the teacher's passes counted
    training: float  # ... and its training


COUNTED = ("times", "passes", "training")


def worths(path: Path) -> list[Worth]:
    lines = tables.lines_of(beside(path))
    student = min(int(line["width"]) for line in lines)
    own = [line for line in lines if int(line["width"]) == student]
    found = []
    for line in (line for line in own if int(line["teacher"])):
        alone = [each for each in own if not int(each["teacher"]) and each["seed"] == line["seed"]]
        alone.sort(key=lambda each: int(each["tokens"]))
        tokens, losses = (np.array([float(each[name]) for each in alone]) for name in ("tokens", "loss"))
        loss, D = float(line["loss"]), int(line["tokens"])
        flops, passes, training = (float(line[name]) for name in ("student", "passes", "training"))
        times = text_worth(tokens, losses, loss) / D
        lower = 1 - loss / losses[list(tokens).index(D)]
        shares = (flops / (flops + extra) for extra in (passes, passes + training))
        costs = (times * share for share in shares)
        found.append(Worth(int(line["teacher"]), D, int(line["seed"]), lower, times, *costs))
    return found


def text_worth(tokens: np.ndarray, losses: np.ndarray, loss: float) -> float:
    """Tokens after which a student's loss would be this one: by a power law between neighbouring lengths,
    rising in tokens, and beyond either end by the nearest two."""
    at = int(np.clip(np.searchsorted(-losses, -loss), 1, len(losses) - 1))
    (near, far), (high, low) = np.log(tokens[at - 1 : at + 1]), np.log(losses[at - 1 : at + 1])
    return float(np.exp(near + (np.log(loss) - high) * (far - near) / (low - high)))


def beside(path: Path) -> Path:
    """Where what was measured of a table's runs lies."""
    return path.with_name(f"{path.stem}-taught.csv")


def answer(path: Path) -> list[str]:
    found, lines = worths(path), []
    for tokens, teacher in dict.fromkeys((each.tokens, each.teacher) for each in found):
        own = [each for each in found if (each.tokens, each.teacher) == (tokens, teacher)]
        lower = ends([100 * each.lower for each in own])
        times, passes, training = (ends([getattr(each, name) for each in own]) for name in COUNTED)
        lines.append(
            f"{tokens:,} tokens, teacher of width {teacher}: {lower} % lower; worth {times} times the text, "
            f"{passes} times the compute with its passes, {training} with its training"
        )
    text, passes, training = (np.mean([getattr(each, name) for each in found]) for name in COUNTED)
    head = (
        f"a taught student is worth {text:.2f} times the text, {passes:.2f} times the compute with the "
        f"teacher's passes, {training:.2f} with its training"
    )
    return [head, *lines]


def ends(values: list[float]) -> str:
    """The mean, and in parentheses the least and the most of the seeds."""
    return f"{np.mean(values):.2g} ({min(values):.2g} to {max(values):.2g})"


def report(store: Store, out: Path, size: str = "laptop", configs: list[RunConfig] | None = None) -> None:
    """runs.csv, runs-taught.csv (losses of students taught), distillation.png, and what they say."""
    name, of = tables.name_of("distillation", size), partial(measure, store=store, size=size)
    grid_of, names = configs or partial(runs, size), shakespeare.CORPORA
    path = measured.with_table(store, name, grid_of, out, names, of, "taught")
    print("\n".join(answer(path)))
    figures_after.distillation(tables.lines_of(beside(path))).savefig(out / "distillation.png")
    print(f"figure in {out}")
