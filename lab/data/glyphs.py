"""Drawn images with captions, as a language: letters of open fonts in colours, sizes and places on a small
canvas. All that can be drawn is listed, so every entropy of it is a sum and no estimate.
"""

import string
from dataclasses import dataclass
from functools import cache, cached_property
from typing import ClassVar

import numpy as np

from lab.data.grammars import entropy
from lab.data.tasks import Task

FONTS = (  # as matplotlib packages them: those to learn from, then those that are held out
    "DejaVuSans DejaVuSans-Bold DejaVuSans-BoldOblique DejaVuSansMono DejaVuSansMono-Oblique "
    "DejaVuSansMono-BoldOblique DejaVuSerif DejaVuSerif-Bold DejaVuSerif-BoldItalic STIXGeneralItalic "
    "STIXGeneralBol STIXGeneralBolIta cmr10 cmss10 cmti10 cmmi10 "
    "DejaVuSans-Oblique DejaVuSansMono-Bold DejaVuSerif-Italic STIXGeneral cmb10 cmtt10"
).split()
SETS = slice(None), slice(0, 16), slice(16, None)  # of the fonts: all, those to learn from, the others
LETTERS, COLOURS, SIZES, STEPS = string.ascii_uppercase, 4, (6, 8), 4  # STEPS: places along either side
SIDE = max(SIZES) + STEPS - 1  # pixels of the canvas
PIXELS = SIDE * SIDE
INKED = 0.35  # of a pixel that the outline covers: then it has the ink's colour
LETTER = COLOURS  # the first id of a letter; words for ink, size and quadrant follow
INK, SIZE, QUADRANT = (LETTER + len(LETTERS) + more for more in (0, COLOURS, COLOURS + len(SIZES)))
WORDS = 4  # of a caption: letter, ink, size, quadrant


@cache
def shapes(font: str) -> np.ndarray:
    """The letters of a font at each size, in the upper left of a square, (letters, sizes, side, side)."""
    from matplotlib import get_data_path
    from matplotlib.ft2font import FT2Font

    face, most = FT2Font(f"{get_data_path()}/fonts/ttf/{font}.ttf"), max(SIZES)
    face.set_size(96, 72)  # points, dots an inch: large, and without hints to tell from its outline
    out = np.zeros((len(LETTERS), len(SIZES), most, most), bool)
    for i, letter in enumerate(LETTERS):
        face.set_text(letter, 0)
        face.draw_glyphs_to_bitmap()
        drawn = np.asarray(face.get_image()) / 255
        drawn = drawn[drawn.any(1)][:, drawn.any(0)]
        for j, size in enumerate(SIZES):
            width = min(most, max(1, round(size * drawn.shape[1] / drawn.shape[0])))
            out[i, j, :size, :width] = averages(averages(drawn, size).T, width).T >= INKED
    return out


def averages(image: np.ndarray, rows: int) -> np.ndarray:
    """An image's means over so many bands of equal height, (rows, width)."""
    sums = np.concatenate([np.zeros((1, image.shape[1])), image.cumsum(0)])
    edges = np.linspace(0, len(image), rows + 1)
    at = np.stack([np.interp(edges, np.arange(len(sums)), column) for column in sums.T], 1)
    return np.diff(at, axis=0) / np.diff(edges)[:, None]


@dataclass(frozen=True, kw_only=True)
class Glyphs(Task):
    """An image of 11 x 11 pixels in four colours, row by row, and its caption: letter, ink, size and the
    quadrant that the letter's place is in. Letter, font, size, place and the two colours, paper and ink, are
    drawn evenly and independently; the caption says neither font, paper nor the exact place. What one image
    may mean in several ways is counted as often: thin letters of two fonts may be equal at these sizes."""

    fonts: int = 0  # 0: all, 1: those to learn from, 2: the others
    seed: int = 0
    form: ClassVar[str] = "glyphs:FONTS-SEED[-TOKENS]"

    vocabulary = QUADRANT + 4
    length = PIXELS + WORDS
    told = np.arange(length) >= PIXELS

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.fonts < len(SETS):
            raise ValueError(f"{self}: fonts are 0 (all), 1 (those to learn from) or 2 (the others)")

    @property
    def ways(self) -> tuple[int, ...]:
        """How many letters, fonts, sizes, places down and across, papers, and inks on each there are."""
        fonts = FONTS[SETS[self.fonts]]
        return len(LETTERS), len(fonts), len(SIZES), STEPS, STEPS, COLOURS, COLOURS - 1

    def drawn(self, number: np.ndarray) -> np.ndarray:
        """The contents (S, length) of drawings by their numbers, from 0 to the product of `ways`."""
        letter, font, size, down, across, paper, ink = np.unravel_index(number, self.ways)
        ink = (paper + 1 + ink) % COLOURS
        faces = np.stack([shapes(name) for name in FONTS[SETS[self.fonts]]], 1)
        image = np.zeros((len(number), SIDE, SIDE), bool)
        for place in np.ndindex(STEPS, STEPS):
            here = (down == place[0]) & (across == place[1])
            own = faces[letter[here], font[here], size[here]]
            image[here] = np.pad(own, ((0, 0), *((at, STEPS - 1 - at) for at in place)))
        pixels = np.where(image.reshape(len(number), -1), ink[:, None], paper[:, None])
        quadrant = down // (STEPS // 2) * 2 + across // (STEPS // 2)
        words = np.stack([LETTER + letter, INK + ink, SIZE + size, QUADRANT + quadrant], 1)
        return np.concatenate([pixels, words], 1).astype(np.uint8)

    def draw(self, rng: np.random.Generator, count: int) -> np.ndarray:
        return self.drawn(rng.integers(0, np.prod(self.ways), count))

    @cached_property
    def table(self) -> tuple[np.ndarray, np.ndarray]:
        """All different contents, sorted by their ids, (R, length), and the probability of each, (R,)."""
        every = self.drawn(np.arange(np.prod(self.ways)))
        rows, counts = np.unique(texts(every), return_counts=True)
        return rows.view(np.uint8).reshape(len(rows), -1) - 1, counts / len(every)

    def chances(self, content_SN: np.ndarray) -> np.ndarray:
        rows, probs = self.table
        below = np.concatenate([[0.0], probs.cumsum()])
        first, last = np.zeros(len(content_SN), int), np.full(len(content_SN), len(rows))
        out = np.zeros(content_SN.shape)
        for place, ids in enumerate(content_SN.T):
            before = below[last] - below[first]
            column = rows[:, place]
            first, last = (bisect(column, first, last, ids + more) for more in (0, 1))
            now = below[last] - below[first]
            out[:, place] = np.divide(now, before, out=np.zeros(len(now)), where=before > 0)
        return out

    @cached_property
    def entropy_rate(self) -> float:
        """Nats per token that no model can go below on average: the sum of -p log p over all that can be
        drawn, exact."""
        return float(entropy(self.table[1])) / self.sentence

    @cached_property
    def joint(self) -> tuple[np.ndarray, np.ndarray]:
        """`table`, its contents as `texts` has them."""
        rows, probs = self.table
        return texts(rows), probs

    @cached_property
    def parts(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """All different images, and captions, as `texts` has them, and the probability of each."""
        rows, probs = self.table
        return [sums(of, probs) for of in (rows[:, :PIXELS], rows[:, PIXELS:])]

    @cached_property
    def entropies(self) -> dict[str, float]:
        """Nats of an image, of a caption, of both, and what one tells of the other."""
        image, caption, both = (float(entropy(probs)) for _, probs in (*self.parts, self.table))
        return {"image": image, "caption": caption, "both": both, "shared": image + caption - both}

    def ratios(self, content_SN: np.ndarray) -> np.ndarray:
        """log p(x, y) / (p(x) p(y)) of every image x of contents with every caption y of them, (S, S)."""
        S, image, caption = len(content_SN), content_SN[:, :PIXELS], content_SN[:, PIXELS:]
        pairs = np.concatenate([np.repeat(image, S, 0), np.tile(caption, (S, 1))], 1)
        both = chance_of(pairs, *self.joint).reshape(S, S)
        alone = [chance_of(ids, *part) for ids, part in zip((image, caption), self.parts, strict=True)]
        with np.errstate(divide="ignore"):
            return np.log(both) - np.log(alone[0])[:, None] - np.log(alone[1])


def texts(ids: np.ndarray) -> np.ndarray:
    """Rows of ids as one value each, which sort as the rows do; no byte is zero, which would end it."""
    return np.ascontiguousarray(ids + 1, np.uint8).view(f"S{ids.shape[1]}").ravel()


def sums(ids: np.ndarray, probs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The different rows of ids, as `texts` has them, and the probability of each."""
    rows, which = np.unique(texts(ids), return_inverse=True)
    return rows, np.bincount(which, probs)


def chance_of(ids: np.ndarray, rows: np.ndarray, probs: np.ndarray) -> np.ndarray:
    """The probability of each row of ids, 0 where it is none of `rows`, which are sorted."""
    wanted = texts(ids)
    place = np.searchsorted(rows, wanted).clip(0, len(rows) - 1)
    return np.where(rows[place] == wanted, probs[place], 0.0)


def bisect(column: np.ndarray, first: np.ndarray, last: np.ndarray, values: np.ndarray) -> np.ndarray:
    """In a column that is sorted from each `first` to its `last` the places before which all is less than
    the value, as of `np.searchsorted`."""
    while (open_ := first < last).any():
        middle = (first + last) // 2
        less = open_ & (column[np.minimum(middle, len(column) - 1)] < values)
        first, last = np.where(less, middle + 1, first), np.where(open_ & ~less, middle, last)
    return first
