"""How small does a model make a text it has not read, and how many weights pay for themselves?

Question: held-out kernel sources packed by kaplan2020's models of seven sizes, each trained on five
          million bytes: bits per byte over N, beside gzip, bzip2, xz and zstd at their best levels;
          is the packed size the loss; how long must a text be before a model that is sent along
          pays for itself?
Command:  python -m lab run experiments.compression   (:smoke)
Cost:     laptop: 7 runs, 2.6e13 FLOPs, 5 minutes on two cores as `lab plan` prices it, none where
          kaplan2020 was run; then some 2 minutes, most of them to unpack again
Answer:   expected: packed sizes within 0.5 % of what the losses say; from the third size on smaller
          than xz and zstd make the text, since that is short for them; with a model's own weights
          (4 bytes each) always larger, and paid for only by some megabytes of text

The text is all that is held out, so its loss is the run's own. Unpacking takes as many times as
long as a window has tokens: the first 32 kB are packed once more by themselves, unpacked, and must
be the same to the last byte. Compressors see the text alone; a model has read 5 MB of the same code
base, which is what it is sent for.
"""

import csv
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experiments import chinchilla2022, kaplan2020
from experiments.reports import figures_context, tables
from lab.config import RunConfig
from lab.data.corpora import Corpus
from lab.models import counts
from lab.plan import grid
from lab.store import contents
from lab.store.failures import trained_as
from lab.store.files import StoreError
from lab.store.store import Store
from lab.trained import compress, weights

SIZES = {"laptop": 32_768, "smoke": 2048}  # bytes that are unpacked again
COLUMNS = (
    "run_id",
    "params",
    "tokens",
    "text_bytes",
    "nats_per_byte",
    "predicted_bytes",
    "packed_bytes",
    "model_bytes",
)


def runs(size: str = "laptop") -> list[RunConfig]:
    return kaplan2020.parts(size)["sizes"]


@dataclass(frozen=True)
class Packed:
    """Sizes of one text in bytes, (R,) by rising N, and by other compressors."""

    text: int
    params: np.ndarray
    predicted: np.ndarray  # what the loss on this text says
    packed: np.ndarray  # with everything a reader needs but the weights
    model: np.ndarray  # the weights, float32
    others: dict[str, int]

    @property
    def bits(self) -> np.ndarray:
        return 8 * self.packed / self.text

    @property
    def off(self) -> np.ndarray:
        """Of the packed size from the predicted one, as a share."""
        return self.packed / self.predicted - 1

    def pays_from(self, name: str) -> np.ndarray:
        """Bytes of such text from which on weights and packed text together are smaller than what
        another compressor makes of it, at the rates found here; infinite where never."""
        saved = self.others[name] / self.text - self.packed / self.text
        with np.errstate(divide="ignore"):
            return np.where(saved > 0, self.model / saved, np.inf)

    @property
    def lines(self) -> list[str]:
        best = min(self.others, key=self.others.get)
        listed = ", ".join(f"{name} {8 * n / self.text:.3f}" for name, n in sorted(self.others.items()))
        ahead = self.params[self.packed < self.others[best]]
        pays = self.pays_from(best)
        cheapest = int(np.argmin(pays))
        first = f"smaller than {best} from N={ahead[0]:,.0f}" if len(ahead) else f"none beats {best}"
        paid = "no model's weights pay for themselves"
        if np.isfinite(pays[cheapest]):
            paid = (
                f"weights pay for themselves soonest at N={self.params[cheapest]:,.0f}, from "
                f"{pays[cheapest] / 1e6:.2f} MB of such text"
            )
        return [
            f"{self.bits.min():.3f} bits a byte at best, {best} {8 * self.others[best] / self.text:.3f}: "
            f"{first}; {paid}",
            f"{self.text:,} bytes packed to {self.bits[0]:.3f} bits a byte at "
            f"N={self.params[0]:,.0f} and {self.bits[-1]:.3f} at {self.params[-1]:,.0f}; {listed}",
            f"sizes are {100 * self.off.min():+.2f} to {100 * self.off.max():+.2f} % from what the "
            "losses say",
        ]


def pack(run: weights.Trained, corpus: Corpus, again: int) -> dict:
    """The held-out text packed by a run's weights, and its first bytes given back.

    Raises:
      ValueError: what comes back is not the text.
    """
    text = np.asarray(corpus.held_out, np.uint8).tobytes()
    first, cfg = text[:again], run.config.model
    packed = compress.compress(run, corpus.tokenizer, first)
    if compress.decompress(run, corpus.tokenizer, packed) != first:
        raise ValueError(f"run {run.config.run_id}: what was packed does not come back")
    size = len(compress.compress(run, corpus.tokenizer, text))
    nats, params = run.record["loss"], counts.count_params(cfg).params
    predicted = round(len(text) * nats / np.log(2) / 8)
    values = (
        run.config.run_id,
        params,
        run.config.tokens,
        len(text),
        nats,
        predicted,
        size,
        compress.weight_bytes(run),
    )
    at = {"finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
    return dict(zip(COLUMNS, values, strict=True)) | compress.compressed_sizes(text) | at


def write(store: Store, size: str, path: Path, kept: Path) -> None:
    """A row a run, with the others' sizes of the same text. What `path` or the committed table
    hold is not made again; a run without weights is left out, and said.

    Raises:
      ValueError: nothing is known of any run.
    """
    known = {line["run_id"]: line for each in (kept, path) for line in tables.lines_of(each)}
    corpora = chinchilla2022.SIZES[kaplan2020.SIZES[size].text].corpora
    for config in runs(size) if contents.learned_from(store, corpora) else []:
        run_id = trained_as(store, config).run_id
        if run_id in known:
            continue
        try:
            run, began = weights.read(store, run_id), time.monotonic()
            known[run_id] = pack(run, run.corpus(), SIZES[size])
        except StoreError as error:
            print(f"left out: {error}", file=sys.stderr)
            continue
        print(
            f"{grid.describe_model(config.model)}: packed, and {SIZES[size]:,} bytes "
            f"unpacked, in {time.monotonic() - began:.0f} s",
            flush=True,
        )
    if not known:
        raise ValueError(
            f"{store.root} holds no finished run of this experiment with its weights, and there is no {kept}"
        )
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(next(iter(known.values()))), lineterminator="\n")
        writer.writeheader()
        writer.writerows(known.values())


def packed_of(path: Path) -> Packed:
    lines = sorted(tables.lines_of(path), key=lambda line: int(line["params"]))
    column = lambda name: np.array([int(line[name]) for line in lines])  # noqa: E731
    others = {name: int(lines[0][name]) for name in lines[0] if name not in (*COLUMNS, "finished")}
    return Packed(
        int(lines[0]["text_bytes"]),
        column("params"),
        column("predicted_bytes"),
        column("packed_bytes"),
        column("model_bytes"),
        others,
    )


def answer(path: Path) -> list[str]:
    return packed_of(path).lines


def report(store: Store, out: Path, size: str = "laptop") -> None:
    """compression.csv, compression.png, and what they say."""
    out.mkdir(parents=True, exist_ok=True)
    name = tables.name_of("compression", size)
    write(store, size, out / "compression.csv", tables.kept(name))
    packed = packed_of(out / "compression.csv")
    print("\n".join(packed.lines))
    figures_context.compression(packed).savefig(out / "compression.png")
    print(f"figure in {out}")
