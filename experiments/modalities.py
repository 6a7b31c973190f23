"""What does a model of text make of code, an image and sound, as bytes?

Question: Transformers that read Shakespeare alone, of four sizes (experiments.architectures): how many bits a
          byte do they need for text, code, an image, sound and noise that they never met, beside gzip, bzip2,
          xz and zstd, and does that fall with their size, or along the context?
Command:  python -m lab run experiments.modalities
Cost:     7 runs, 5e11 FLOPs, about 1 minute on two cores, none where experiments.architectures was run
Answer:   expected: Deletang et al. 2023 (arXiv 2309.10668) find that models of text pack images and sound
          better than PNG and FLAC, but models of 1e9 weights and more with contexts of 2,048. At 1e4 weights
          and 64 bytes: text in 3 bits a byte, fewer than gzip makes of so short a sample; code in 4.5 to 6,
          half as much again as gzip; image and sound in over 8, so that they are no model of them at all, and
          halved to seven bits, as there, still over 7. Code falls with size; image and sound rise, since a
          better model of text is surer of what it is wrong about. Along the context nothing of image and
          sound is learned: bits at places 33 to 64 are within a tenth of those at 2 to 9, where in text they
          fall

Samples are 16,384 bytes each. Code: Python's own argparse. Image: 128 by 128 grey pixels of the photograph
that matplotlib packages, row by row. Sound: plucked strings (Karplus & Strong 1983) of a fixed melody, 8,000
samples a second of eight bits. A sample's checksum stands in the table. Halved: each byte without its last
bit, which is sent as it is, for 1. A model's own weights are not counted. Bits are the loss: a packed file is
within half a percent of it (experiments.compression).

Refused: how far off they are, some 19 bits where over 8 was expected, and halved 11 to 17; and code is not
told the better the larger a model is, from the second size on, nor better along the context. Image and sound
do rise with size, but so does noise, by as much: what rises is what a surer model pays for bytes that it
never saw, and tells nothing of images or sound. Sound of seven bits rises by less than such noise.
"""

import argparse
import hashlib
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
from scipy import stats

from experiments import architectures
from experiments.reports import arms, figures_bytes, measured, shakespeare, tables
from lab.config import RunConfig
from lab.data import batches
from lab.models import counts, tree
from lab.store.store import Store
from lab.trained import compress, weights

SIDE, RATE, LONG = 128, 8_000, 16_384  # pixels; samples a second; bytes of a sample
EARLY, LATE = slice(1, 9), slice(32, 64)  # places in the context
OTHERS = ("gzip -9", "bzip2 -9", "xz -9e", "zstd -22")


def runs() -> list[RunConfig]:
    return arms.runs([({}, {})], (2.0,), architectures.LADDER)


def photograph() -> bytes:
    from matplotlib import cbook
    from PIL import Image

    with cbook.get_sample_data("grace_hopper.jpg") as file:
        grey = np.asarray(Image.open(file).convert("L"))
    return grey[60 : 60 + SIDE, 190 : 190 + SIDE].tobytes()


def strings() -> bytes:
    """A melody of plucked strings."""
    rng, played = np.random.default_rng(0), np.zeros(LONG)
    for begin, pitch in zip(
        range(0, LONG, RATE // 4), (220, 262, 330, 392, 330, 294, 262, 220, 196), strict=True
    ):
        string = rng.uniform(-1, 1, RATE // pitch)
        for place in range(begin, min(LONG, begin + RATE)):
            at = place % len(string)
            played[place] += string[at]
            string[at] = 0.498 * (string[at] + string[(at + 1) % len(string)])
    return np.round(127.5 + 127 * played / np.abs(played).max()).astype(np.uint8).tobytes()


def samples(held_out: np.ndarray) -> dict[str, bytes]:
    """By name, LONG bytes each."""
    return {
        "text": np.asarray(held_out[:LONG], np.uint8).tobytes(),
        "code": Path(argparse.__file__).read_bytes()[:LONG],
        "image": photograph(),
        "sound": strings(),
        "noise": np.random.default_rng(0).integers(0, 256, LONG, np.uint8).tobytes(),
    }


def bits(run: weights.Trained, sample: bytes) -> np.ndarray:
    """Of every byte but the first, in windows as held-out text is scored, (windows, seq_len)."""
    cfg = run.config.model
    windows, _ = batches.eval_windows(np.frombuffer(sample, np.uint8).astype(np.int32), cfg.seq_len)
    losses = jax.jit(lambda params, tokens: tree.losses(cfg, params, *batches.shift(tokens))[0])
    return np.asarray(losses(jax.device_put(run.params), windows[:-1])) / np.log(2)


def measure(run: weights.Trained) -> Iterator[measured.Row]:
    """A row a sample, as it is and, of what is no text, halved."""
    for name, sample in samples(run.corpus().held_out).items():
        others = {key: 8 * size / len(sample) for key, size in compress.compressed_sizes(sample).items()}
        for how, lost in (("whole", 0), ("halved", 1))[: 1 if name in ("text", "code") else 2]:
            own = lost + bits(run, (np.frombuffer(sample, np.uint8) >> lost).tobytes())
            numbers = {"bits": own.mean(), "error": own.mean(1).std(ddof=1) / len(own) ** 0.5}
            numbers |= {"early": own[:, EARLY].mean(), "late": own[:, LATE].mean()}
            yield {
                "params": counts.count_params(run.config.model).params,
                "seed": run.config.seed,
                "loss": run.record["loss"],
                "sample": name,
                "how": how,
                **{key: round(float(value), 5) for key, value in numbers.items()},
                **{key: round(others[key], 5) if key in others else "" for key in OTHERS},
                "sha256": hashlib.sha256(sample).hexdigest()[:12],
            }


def cells(path: Path) -> dict[tuple[str, str], list[dict[str, str]]]:
    """The rows of each sample and how it was read."""
    lines = tables.lines_of(path)
    found = dict.fromkeys((line["sample"], line["how"]) for line in lines)
    return {cell: [line for line in lines if (line["sample"], line["how"]) == cell] for cell in found}


def column(lines: list[dict[str, str]], name: str) -> np.ndarray:
    return np.array([float(line[name]) for line in lines])


def slope(lines: list[dict[str, str]]) -> tuple[float, float, float]:
    """Bits a byte for each ten times the weights, with a 95 % interval over the runs."""
    fit = stats.linregress(np.log10(column(lines, "params")), column(lines, "bits"))
    half = stats.t.ppf(0.975, len(lines) - 2) * fit.stderr
    return fit.slope, fit.slope - half, fit.slope + half


def over(lines: list[dict[str, str]], noise: list[dict[str, str]]) -> list[dict[str, str]]:
    """Rows whose bits are those over what the same run needs for noise."""
    spent = {line["run_id"]: float(line["bits"]) for line in noise}
    return [line | {"bits": float(line["bits"]) - spent[line["run_id"]]} for line in lines]


def answer(path: Path) -> list[str]:
    words, head, found = [], [], cells(path)
    for (name, how), lines in found.items():
        params = column(lines, "params")
        large, small = (
            [line for line in lines if float(line["params"]) == N] for N in (params.max(), params.min())
        )
        now, before = column(large, "bits").mean(), column(small, "bits").mean()
        half = 1.96 * column(large, "error").max()
        if how == "whole":
            head.append(f"{name} {now:.2f} (gzip {float(lines[0]['gzip -9']):.2f})")
        others = ", ".join(f"{other} {float(lines[0][other]):.2f}" for other in OTHERS if lines[0][other])
        early, late = (column(large, which).mean() for which in ("early", "late"))
        words.append(
            f"{name}, {how}: {before:.2f} bits a byte at N={params.min():,.0f}, {now:.2f} ({now - half:.2f}, "
            f"{now + half:.2f}) at {params.max():,.0f}; {{:+.2f}} ({{:+.2f}}, {{:+.2f}}) for ten times the "
            f"weights; {early:.2f} at places 2 to 9 and {late:.2f} at 33 to 64; {others}".format(
                *slope(lines)
            )
        )
    beside = [
        f"{name}, {how} {{:+.2f}} ({{:+.2f}}, {{:+.2f}})".format(*slope(over(lines, found["noise", how])))
        for (name, how), lines in found.items()
        if name in ("image", "sound")
    ]
    rise = f"over noise, read alike by the same runs, for ten times the weights: {', '.join(beside)}"
    return [f"bits a byte: {', '.join(head)}", *words, rise]


def report(store: Store, out: Path) -> None:
    """modalities.csv, modalities.png, and what they say."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / "modalities.csv"
    measured.write(store, runs, shakespeare.CORPORA, measure, path, tables.kept("modalities"))
    print("\n".join(answer(path)))
    figures_bytes.modalities(cells(path)).savefig(out / "modalities.png")
    print(f"figure in {out}")
