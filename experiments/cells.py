"""Which units of a byte LSTM keep track of quotes, brackets and lines, and how does its writing come about?

Question: an LSTM learns the kernel's C byte by byte (Karpathy 2015, The Unreasonable Effectiveness of
          Recurrent Neural Networks): how well does its best single unit follow whether a byte is in a string
          or a comment, how deep it stands in brackets and how far in its line, and all units together; before
          training, after a sixteenth and a quarter of it, and at its end?
Command:  python -m lab run experiments.cells   (:accelerator has 3 layers of 512; :smoke)
Cost:     laptop: 6 runs, 2.5e12 FLOPs, about 2 minutes on two cores;
          accelerator: 6 runs, 3.2e16 FLOPs, some hours
Answer:   expected: at the end one unit follows the place in the line with a correlation above .6 and brackets
          and strings above .4, which no unit does before training (below .3); comments, which are longer than
          a window, below .4; all units together .1 to .3 above the best one, and ahead of it before training
          already; each grows with training. Samples turn from noise to indented lines with matched brackets

Each length is trained as a run of its own, with its own decay; two seeds. States are read in windows of 128
bytes, each from zero, over 100,000 bytes of held-out files; the unit, and the line through all units, are
chosen on the first half and measured on the second. Samples begin with a line break.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from analysis.tables import table
from experiments.reports import figures_probe, shakespeare, tables
from lab.config import ModelConfig, OptimConfig, RunConfig
from lab.data import corpora
from lab.models import counts
from lab.store import contents
from lab.store.failures import trained_as
from lab.store.store import Store

TRACKED = ("line", "brackets", "string", "comment")
TEMPERATURES = (0.4, 0.8, 1.2)
SAMPLE = 160  # bytes
RATE = 3.0  # over the plain grid's rule, as in experiments.sentiment


@dataclass(frozen=True)
class Size:
    """An LSTM (layers, width) and how long it trains, the longest last."""

    shape: tuple[int, int]
    tokens: tuple[int, ...]
    seq_len: int
    batch_tokens: int
    read: int = 100_000  # held-out bytes whose states are looked at
    seeds: int = 2
    corpus: str = "linux-6.1"


SIZES = {
    "laptop": Size((1, 96), (100_000, 400_000, 1_600_000), seq_len=128, batch_tokens=2048),
    "accelerator": Size((3, 512), (20_000_000, 80_000_000, 320_000_000), seq_len=256, batch_tokens=16_384),
    "smoke": Size((1, 8), (1_000, 2_000), seq_len=16, batch_tokens=128, read=2_000),
}


def runs(size: str = "laptop") -> list[RunConfig]:
    setup = SIZES[size]
    layers, width = setup.shape
    model = ModelConfig(
        kind="lstm", n_layer=layers, d_model=width, n_head=1, vocab_size=256, seq_len=setup.seq_len
    )
    rate = RATE * shakespeare.rule(counts.count_params(model).params)
    return [
        RunConfig(
            model=model,
            optim=OptimConfig(learning_rate=rate),
            data=corpora.prepare(setup.corpus).data(max_epochs=8.0),
            tokens=tokens,
            batch_tokens=setup.batch_tokens,
            seed=seed,
            data_seed=seed,
        )
        for tokens in setup.tokens
        for seed in range(setup.seeds)
    ]


def tracked(text: bytes) -> dict[str, np.ndarray]:
    """Of each byte of C: its place in the line, how many brackets are open before it, and whether it is in a
    string or a comment; brackets in either don't count."""
    out = {name: np.zeros(len(text)) for name in TRACKED}
    column, depth, inside, last = 0, 0, "", 0
    for place, letter in enumerate(map(chr, text)):
        out["line"][place], out["brackets"][place] = column, depth
        out["string"][place], out["comment"][place] = inside == '"', inside == "/*"
        before = chr(last)
        if not inside:
            inside = {'"': '"', "'": "'"}.get(letter, "/*" if before + letter == "/*" else "")
            depth = max(0, depth + (letter in "([") - (letter in ")]"))
        elif (letter == inside and before != "\\") or (letter == "\n" and inside != "/*"):
            inside = ""
        elif inside == "/*" and before + letter == "*/":
            inside = ""
        if letter in ";{}" and not inside:
            depth = 0
        column = 0 if letter == "\n" else column + 1
        last = 0 if before == letter == "\\" else text[place]
    return out


def follow(states_TD: np.ndarray, value_T: np.ndarray) -> tuple[int, float, float]:
    """The unit that goes most with a value on the first half, its correlation on the second (without sign),
    and that of the line through all units that fits the first half best."""
    from lab.trained import probe

    half = len(value_T) // 2
    first, second = states_TD[:half].astype(np.float64), states_TD[half:].astype(np.float64)
    unit = int(np.abs(probe.correlations(first, value_T[:half])).argmax())
    with_one = lambda x: np.column_stack([x, np.ones(len(x))])  # noqa: E731
    w = np.linalg.lstsq(with_one(first), value_T[:half], rcond=None)[0]
    each = np.column_stack([second[:, unit], with_one(second) @ w])
    return unit, *map(float, np.abs(probe.correlations(each, value_T[half:])))


@dataclass(frozen=True)
class Stage:
    """Bytes trained on, and of each property the correlations of the best unit and of all, (seeds,)."""

    tokens: float
    unit: dict[str, np.ndarray]
    every: dict[str, np.ndarray]


def stages(path: Path, lines: Sequence[dict[str, str]]) -> list[Stage]:
    """Of a run table and its measures, before training first."""
    runs, out = table.read(path).usable(), []
    length = dict(zip(runs.column("run_id"), runs.column("tokens").astype(float), strict=True))
    at = [(0.0 if line["stage"] == "before" else length[line["run_id"]], line) for line in lines]
    for tokens in sorted({tokens for tokens, _ in at}):
        own = [line for other, line in at if other == tokens]
        of = lambda key, own=own: {  # noqa: E731
            name: np.array([float(line[key]) for line in own if line["property"] == name]) for name in TRACKED
        }
        out.append(Stage(tokens, of("unit_r"), of("all_r")))
    return out


def beside(path: Path, what: str) -> list[dict[str, str]]:
    """A table of one's own beside a report's, or that which was committed."""
    own = path.with_name(f"{what}.csv")
    return tables.lines_of(own if own.exists() else tables.kept(f"cells-{what}"))


def answer(path: Path) -> list[str]:
    every, losses = stages(path, beside(path, "units")), table.read(path).usable()
    words = [
        f"{name} {every[0].unit[name].mean():.2f} to {every[-1].unit[name].mean():.2f}" for name in TRACKED
    ]
    out = [f"best unit's correlation, before and after training: {', '.join(words)}"]
    for stage in every:
        own = losses.select(losses.column("tokens").astype(float) == stage.tokens)
        after = f"after {stage.tokens:,.0f} bytes, {own.loss.mean() if len(own) else np.nan:.3f} nats each"
        said = [
            f"{name} {stage.unit[name].mean():.2f} (seeds {np.ptp(stage.unit[name]):.2f} apart), all units "
            f"{stage.every[name].mean():.2f}"
            for name in TRACKED
        ]
        out.append(f"{after if stage.tokens else 'before training'}: {'; '.join(said)}")
    for line in beside(path, "samples"):
        text = json.loads(line["text"]).replace("`", "'").replace("\n", "⏎").replace("\t", "⇥")
        out.append(f"{line['stage']}, temperature {line['temperature']}: `{text}`")
    return out


def measure(store: Store, configs: Sequence[RunConfig], size: Size, out: Path) -> None:
    """units.csv: which unit of each run and of the weights it began with follows a property, and how well;
    samples.csv, of the first seed; text.png, of the last run."""
    from lab.train.step import initial_state
    from lab.trained import probe, weights

    corpus = corpora.prepare(size.corpus, quiet=True)
    text = np.asarray(corpus.held_out[: size.read])
    values = {name: value[:-1] for name, value in tracked(bytes(text.astype(np.uint8))).items()}
    rows, samples, shown = [], [], []
    for config in configs:
        run = weights.read(store, trained_as(store, config).run_id)
        nets = {f"after {config.tokens:,} bytes": run.params}
        if config.tokens == min(size.tokens):
            nets = {"before": initial_state(config).params} | nets
        for stage, params in nets.items():
            states = probe.by_token(config.model, params, text)
            for name, value in values.items():
                unit, alone, every = follow(states, value)
                numbers = {"unit": unit, "unit_r": f"{alone:.4f}", "all_r": f"{every:.4f}"}
                rows.append({"run_id": config.run_id, "stage": stage, "property": name, **numbers})
                if config is configs[-1]:
                    shown.append((name, slice(len(text) // 2, len(text) // 2 + 480), states[:, unit]))
            if not config.seed:
                samples += sampled(config, params, stage, corpus.tokenizer)
    tables.write_lines(out / "units.csv", rows)
    tables.write_lines(out / "samples.csv", samples)
    coloured = [
        (f"{name}", bytes(text[part].astype(np.uint8)).decode("latin-1"), unit[part] - unit.mean())
        for name, part, unit in shown
    ]
    figures_probe.text(
        coloured, "At each byte the unit that follows what stands beside it best, less its mean."
    ).savefig(out / "text.png")


def sampled(config: RunConfig, params, stage: str, tokenizer) -> list[dict[str, str]]:
    from lab.trained import sample

    out = []
    for temperature in TEMPERATURES:
        ids = list(
            sample.sample(config.model, params, tokenizer.encode_known("\n"), SAMPLE, temperature=temperature)
        )
        text = bytes(ids).decode("utf-8", "replace")
        readable = "".join(
            letter if letter.isprintable() or letter in "\n\t" else "\ufffd" for letter in text
        )
        row = {"run_id": config.run_id, "stage": stage, "temperature": f"{temperature}"}
        out.append(row | {"text": json.dumps(readable)})
    return out


def report(store: Store, out: Path, size: str = "laptop") -> None:
    """runs.csv, units.csv, samples.csv, cells.png, text.png, and what they say."""
    setup, name = SIZES[size], tables.name_of("cells", size)
    path = tables.table_of(name, store, partial(runs, size), out, (setup.corpus,))
    if contents.learned_from(store, (setup.corpus,)):
        done = set(table.read(path).usable().column("run_id"))
        configs = [config for config in runs(size) if trained_as(store, config).run_id in done]
        measure(store, configs, setup, out)
    print("\n".join(answer(path)))
    figures_probe.cells(stages(path, beside(path, "units"))).savefig(out / "cells.png")
    print(f"figure in {out}")
