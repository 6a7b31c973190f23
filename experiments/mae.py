"""Does learning to tell hidden patches first make a better reader, and does it pay for itself?

Question: on drawn letters (lab/data/glyphs.py) a masked autoencoder learns to tell the hidden patches of
          images without captions (He et al. 2021), and a vision Transformer that goes on from its encoder
          learns to read them: how many labelled drawings is that worth beside a reader from nothing, at equal
          labelled training and at equal FLOPs in all, for few labels and for many, and how near does the
          autoencoder come to the least that hidden pixels leave?
Command:  python -m lab run experiments.mae   (:accelerator, :smoke)
Cost:     laptop: 36 runs, 2.9e12 FLOPs, about 5 minutes on two cores, half of it where experiments.vision
          was run; accelerator: 36 runs, 2.8e14 FLOPs, about five minutes at 1e12 FLOP/s
Answer:   expected: a hidden pixel costs .29 to .42 nats, the wider encoder less, far under the .8 of who
          copies the nearest pixel that is seen and .1 to .23 over the least, .19. At equal labelled
          training the encoder is worth 1.2 to 2.5 times the labelled drawings, and readers of 25,600 from
          it tell 9 to 25 % of letters where those from nothing tell 7 to 11 %. Counted in FLOPs it does not
          pay where labels are many: at equal FLOPs in all it is worth .4 to .9 of 25,600 labelled drawings,
          less than showing twice as many or each twice; with 1,600, which are shown 16 or 32 times, .7 to
          2, so that it stops paying somewhere between. In FLOPs, of who has labels for all that is shown,
          .4 to .8 with 25,600 and less with fewer

The reader is that of experiments.vision, whose runs of every drawing shown once are among these. The encoder
reads SEEN of 16 patches alone, as in the paper, and a decoder of half its width tells the others' pixels, as
one of four colours each (experiments/own/masked.py); it learns for as many FLOPs as a reader's training
takes. A reader then goes on from its weights, all of them free, at the rate and schedule of a reader from
nothing. Labelled drawings are shown again until as many were shown whichever their number, so that a reader
costs the same; the reader from nothing at equal FLOPs in all is shown twice as many. No drawing is changed
when it is shown again. Readers from the encoder are trained by the report, which keeps each. One short run of
another width on another corpus was looked at before; no rate was tuned.

It does not pay for itself: whoever has 6,400 labelled drawings or more does better to show them twice as
often, and in FLOPs it is worth half, as expected. It pays with 1,600, in nats alone: readers from nothing
who are shown them 32 times grow sure of what is wrong, and still tell more letters. Refused: with 25,600 it
is worth .15 and not .4 of the labels, and at equal labelled training over 4 times the labels with 6,400,
for what readers of so short a training lack is training: 6,400 drawings shown four times teach what 25,600
do. The upper ends of these intervals are wide, as curves over labels are flat there. The autoencoder is as
far from its floor as was said at most; one that has learned for longer, as the paper's, may be worth more.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

import jax
import numpy as np

from experiments import vision
from experiments.own.drawings import CAPTION, IMAGE
from experiments.reports import figures_images, learning, measured, tables
from lab.config import ModelConfig, RunConfig
from lab.data.corpora import Corpus
from lab.data.glyphs import COLOURS, PIXELS, SIDE
from lab.data.languages import parse_language
from lab.models import counts, tree
from lab.store.store import Store
from lab.train import objectives, step
from lab.trained import again, weights

OWN = Path(__file__).parent / "own" / "masked.py"
WIDTHS = 2  # of those of experiments.vision, from the narrowest
FEWER = 16, 4, 1  # of the drawings shown: the labelled ones are so many times fewer
FLOORS = 512  # drawings whose floor is found
SHORT, LONG = 1, 2  # places of the numbers of drawings shown, the second twice the first
ARMS = "from nothing", "from nothing, twice as long", "hidden patches first"
SIZES = vision.SIZES


def once(size: str = "laptop") -> list[RunConfig]:
    """The readers of experiments.vision, from nothing and shown each drawing once."""
    setup = SIZES[size]
    widths = [patches for patches, _ in setup.widths[:WIDTHS]]
    own = lambda run: run.model.settings and run.optim.learning_rate == setup.rates[0]  # noqa: E731
    return [run for run in vision.runs(size) if own(run) and run.model.d_model in widths]


def labelled(run: RunConfig, fewer: int) -> RunConfig:
    """A run that is shown as many drawings, of which so many times fewer differ."""
    if fewer == 1:
        return run
    return replace(run, data=replace(run.data, unique_tokens=run.tokens // fewer, max_epochs=fewer))


def masked(reader: RunConfig) -> RunConfig:
    """An autoencoder whose encoder is the reader's, trained for as many FLOPs."""
    model = replace(reader.model, kind=f"{OWN}:Masked", settings={})
    cheaper = counts.flops_exact(reader.model) / counts.flops_exact(model)
    tokens = round(cheaper * reader.steps) * reader.batch_tokens
    data = replace(reader.data, max_epochs=2)
    return replace(reader, model=model, tokens=tokens, data=data, objective=f"{OWN}:hidden")


def runs(size: str = "laptop") -> list[RunConfig]:
    """Of either width and seed an autoencoder, readers shown each drawing once, and readers shown fewer
    drawings more often."""
    readers = once(size)
    short, long = (shown(readers, place) for place in (SHORT, LONG))
    few = [labelled(run, fewer) for run in short for fewer in FEWER[:-1]]
    more = [labelled(run, 2 * fewer) for run in long for fewer in FEWER[:-1]]
    return [*map(masked, short), *readers, *few, *more]


def shown(readers: list[RunConfig], place: int) -> list[RunConfig]:
    """Those of these readers who are shown one number of drawings, by its place from the fewest, 0."""
    tokens = sorted({run.tokens for run in readers})[place]
    return [run for run in readers if run.tokens == tokens]


@cache
def asked(objective: str, cfg: ModelConfig, name: str) -> tuple[objectives.Batch, dict[str, float]]:
    """What drawings that no run saw are asked for hidden pixels, and what these cost, nats a pixel, who
    knows all that can be drawn, who takes the nearest pixel's colour, and who takes all colours for even."""
    drawings, _ = vision.drawn(name)
    batch = jax.device_get(
        objectives.examples(objective, cfg, np.pad(drawings, ((0, 0), (0, 1))), objectives.HELD_OUT)
    )
    images, told = (of[:FLOORS, IMAGE:CAPTION] for of in (drawings, batch.weights_BL))
    rows, probs = parse_language(name)[0].table
    columns = np.ascontiguousarray(rows[:, :PIXELS].T)
    pairs = list(zip(images, told > 0, strict=True))
    least = [posterior_nats(columns, probs, image, hidden)[hidden].mean() for image, hidden in pairs]
    return batch, {"pixel_floor": np.mean(least), "pixel_near": near(pairs), "pixel_even": np.log(COLOURS)}


def posterior_nats(
    columns: np.ndarray, probs: np.ndarray, image: np.ndarray, hidden: np.ndarray
) -> np.ndarray:
    """What each pixel of an image costs, nats (PIXELS,), by all that can be drawn, (PIXELS, R) of the
    probabilities (R,), and shows the same where nothing is hidden."""
    same = np.arange(len(probs))
    for place in np.flatnonzero(~hidden):
        same = same[columns[place, same] == image[place]]
    right = (columns[:, same] == image[:, None]) @ probs[same]
    return -np.log(right / probs[same].sum())


def near(pairs: list[tuple[np.ndarray, np.ndarray]]) -> float:
    """Nats a hidden pixel of who takes the colour of the nearest that is seen, as surely as that is right
    at its distance, and the other colours for even."""
    places = np.stack(np.divmod(np.arange(PIXELS), SIDE), 1)
    apart = np.abs(places[:, None] - places).sum(-1)
    far, right = [], []
    for image, hidden in pairs:
        seen = np.flatnonzero(~hidden)
        between = apart[hidden][:, seen]
        far.append(between.min(1))
        right.append(image[seen[between.argmin(1)]] == image[hidden])
    far, right = np.concatenate(far), np.concatenate(right)
    share = (np.bincount(far, right) / np.maximum(np.bincount(far), 1))[far]
    with np.errstate(divide="ignore"):
        return float(-np.log(np.where(right, share, (1 - share) / (COLOURS - 1))).mean())


@cache
def reading(objective: str, cfg: ModelConfig) -> again.Loss:
    """The loss of a reader, as its own run has it."""

    def loss(params: tree.Params, tokens_BL: jax.Array) -> jax.Array:
        batch = objectives.examples(objective, cfg, tokens_BL, 0)
        nats_BL = tree.losses(cfg, params, batch.inputs_BL, batch.targets_BL)[0]
        return (nats_BL * batch.weights_BL).sum() / batch.weights_BL.sum()

    return loss


def gone_on(config: RunConfig, corpus: Corpus, encoder: tree.Params) -> tree.Params:
    """The weights of a reader that began with this encoder."""
    params = step.initial_state(config).params | {"image": encoder}
    return again.train(config, corpus, reading(config.objective, config.model), params)


def measure(run: weights.Trained, size: str) -> Iterator[measured.Row]:
    """Of a reader one row; of an autoencoder one of each reader that goes on from it."""
    config, name = run.config, run.config.data.corpus
    if config.model.settings:
        yield row(run) | dict.fromkeys(("pixel", "pixel_floor", "pixel_near", "pixel_even"), "")
        return
    batch, floors = asked(config.objective, config.model, name)
    nats = jax.jit(lambda *of: tree.losses(config.model, *of)[0])(
        run.params, batch.inputs_BL, batch.targets_BL
    )
    pixel = (nats * batch.weights_BL).sum() / batch.weights_BL.sum()
    scored = {key: round(float(value), 5) for key, value in {"pixel": pixel, **floors}.items()}
    of = [r for r in shown(once(size), SHORT) if masked(r).run_id == config.run_id]
    readers, corpus = [labelled(r, fewer) for r in of for fewer in FEWER], run.corpus()
    with ThreadPoolExecutor(2) as pool:
        made = pool.map(lambda reader: gone_on(reader, corpus, run.params["image"]), readers)
        for reader, params in zip(readers, made, strict=True):
            yield row(replace(run, config=reader, params=params), counts.run_flops(config)) | scored


def row(run: weights.Trained, before: float = 0) -> measured.Row:
    """What a reader tells, beside what it was shown, how many of that differ, and its FLOPs in all."""
    own, sentence = next(vision.measure(run)), run.config.model.seq_len
    shown = own.pop("drawings")
    del own["arm"], own["rate"]
    differ = min(shown, run.config.data.available_tokens // sentence)
    return {"before": before, "labelled": differ, "shown": shown} | own | {"flops": own["flops"] + before}


@dataclass(frozen=True)
class Found:
    """What was measured, a column each (R,), and which rows are each arm's, (R,)."""

    columns: dict[str, np.ndarray]
    rows: dict[str, np.ndarray]

    @property
    def labelled(self) -> np.ndarray:
        """The numbers of labelled drawings that readers from an encoder learned from."""
        return np.unique(self.columns["labelled"][self.rows[ARMS[2]]])

    def worth(self, n: float, base: np.ndarray, of: str = "labelled") -> str:
        """How many times the labelled drawings, or the FLOPs, other runs need for what a reader from an
        encoder reaches with n labelled drawings: the geometric mean over widths with the 95 % interval of
        the noise between seeds, or beyond what they reach."""
        own = self.rows[ARMS[2]] & (self.columns["labelled"] == n)
        columns = self.columns | {"arm": np.where(own, "own", "base"), "drawings": self.columns[of]}
        points = learning.crossings(columns, base | own, ("base", "own"))
        if len(points[0]):
            alone = len(np.unique(self.columns["width"])) > len(points[0])
            width = np.unique(self.columns["width"])[int(points[0][0])]
            mean = vision.Found(columns, base | own, *points).mean()
            return f"{mean}{f' at width {width:.0f}, the other beyond' if alone else ''}"
        caption = self.columns["caption"]
        most = self.columns[of][base].max() / self.columns[of][own].max()
        least = self.columns[of][base].min() / self.columns[of][own].min()
        return f"over {most:.2g}" if caption[own].mean() < caption[base].mean() else f"under {least:.2g}"

    def mean(self, name: str, arm: str, n: float, width: float) -> float:
        of = self.columns
        return of[name][self.rows[arm] & (of["labelled"] == n) & (of["width"] == width)].mean()


def beside(path: Path) -> Path:
    """Where what was measured of a table's runs lies."""
    return path.with_name(f"{path.stem}-readers.csv")


def find(path: Path) -> Found:
    lines = tables.lines_of(beside(path))
    names = [name for name in lines[0] if name not in ("run_id", "finished")]
    of = {name: np.array([float(line[name] or "nan") for line in lines]) for name in names}
    first, short = of["before"] == 0, of["shown"][of["before"] > 0][0]
    alone = [first & (of["shown"] == times * short) for times in (1, 2)]
    return Found(of, dict(zip(ARMS, (*alone, ~first), strict=True)))


def answer(path: Path) -> list[str]:
    found = find(path)
    of, short, long = found.columns, found.rows[ARMS[0]], found.rows[ARMS[1]]
    fresh = (of["before"] == 0) & (of["labelled"] == of["shown"])
    worth = lambda base, what: ", ".join(  # noqa: E731
        f"{found.worth(n, base, what)} with {n:,.0f}" for n in found.labelled
    )
    from_encoder = found.rows[ARMS[2]]
    pixel = {name: column[from_encoder] for name, column in of.items() if name.startswith("pixel")}
    widths = np.unique(of["width"])
    lines = []
    for width in widths:
        for n in found.labelled:
            arms = [arm for arm in ARMS if (found.rows[arm] & (of["labelled"] == n)).any()]
            said = [
                f"{arm} {found.mean('caption', arm, n, width):.2f} nats a caption, letters "
                f"{100 * found.mean('right', arm, n, width):.0f} % and in other fonts "
                f"{100 * found.mean('right_others', arm, n, width):.0f} %"
                for arm in arms
            ]
            lines.append(f"width {width:.0f}, {n:,.0f} labelled drawings: {'; '.join(said)}")
    told = ", ".join(
        f"{pixel['pixel'][of['width'][from_encoder] == width].mean():.3f} at width {width:.0f}"
        for width in widths
    )
    return [
        f"at equal FLOPs hidden patches multiply labels by {worth(long, 'labelled')}",
        f"in labelled drawings, at equal labelled training, the encoder's own FLOPs not counted: "
        f"{worth(short, 'labelled')}",
        f"in FLOPs, of readers from nothing who are shown labelled drawings once: {worth(fresh, 'flops')}",
        f"nats a hidden pixel: {told}; at least {pixel['pixel_floor'][0]:.3f}, by the nearest that is seen "
        f"{pixel['pixel_near'][0]:.3f}, by nothing {pixel['pixel_even'][0]:.3f}",
        *lines,
        f"the least that an image leaves of its caption: {of['caption_floor'][0]:.3f} nats, in other fonts "
        f"{of['caption_floor_others'][0]:.3f}",
    ]


def report(store: Store, out: Path, size: str = "laptop", configs: list[RunConfig] | None = None) -> None:
    """runs.csv, runs-readers.csv (what was measured of each), mae.png, and what they say."""
    name, grid_of = tables.name_of("mae", size), configs or partial(runs, size)
    own = partial(measure, size=size)
    path = measured.with_table(store, name, grid_of, out, (SIZES[size].corpus,), own, "readers")
    print("\n".join(answer(path)))
    figures_images.masked(find(path)).savefig(out / "mae.png")
    print(f"figure in {out}")
