"""What the names of runs state: gpt-124M_2.5Btok, N=1.2e6,D=3e7, d512_l8_n10M, n10M_steps5k_b256_ctx1024.

A number counts where a word beside it, or a suffix, leaves one reading: neither a date, nor a count of
pixels, steps or seeds is a size, and of 70M-1B nothing is told.
"""

import re
from dataclasses import dataclass, field

from analysis.tables.units import MULTIPLES

LABELS = {  # of a quantity, the words that stand before or behind its number
    "params": "n params param parameters nparams numparams nparameters numparameters modelsize size",
    "tokens": "d tok toks token tokens ntok ntoks ntokens numtokens traintokens totaltokens tokensseen",
    "flops": "c flops flop compute budget",
    "ratio": "tpp tokensperparam tokperparam",
    "steps": "step steps iter iters updates nsteps maxsteps totalsteps numsteps trainsteps maxiters",
    "batch": "b bs bsz batch batchsize globalbatchsize gbs globalbatch",
    "batch_tokens": "batchtokens tokensperbatch tokensperstep",
    "context": "ctx seq seqlen sequencelength seqlength context contextlength ctxlen block blocksize",
    "width": "dmodel width w dim hidden hiddensize embd nembd embeddim",
    "depth": "l layers layer nlayer nlayers numlayers depth",
}
MEANS = {word: quantity for quantity, words in LABELS.items() for word in words.split()}
BEHIND = {"t": "tokens", "p": "params"}  # 300BT, 124Mp
OTHER = "px pixels imgs images samples examples docs words bytes data vocab it h hr".split()
UNITS = sorted({*MEANS, *BEHIND, *OTHER} - {"n", "d", "c", "b", "w", "l"}, key=len, reverse=True)
JOINED = re.compile(  # n_params, seq_len: one label
    r"(?<![A-Za-z])(n|num|d|seq|ctx|sequence|context|batch|global_batch|block|max|train|total|model|hidden|embed)"
    r"[_-](?=(?:params|param|parameters|model|len|length|size|layers?|tokens?|steps?|iters|embd|dim)(?![A-Za-z]))",
    re.I,
)
RATIO = re.compile(  # tokens_per_param=20, D/N=20; of 10M_tokens/N=1e6 the stroke parts two sizes
    r"(?:(?<![A-Za-z0-9])(?:tok(?:en)?s?|D)[_-]?per[_-]?|(?<![\w-])(?:tok(?:en)?s?|D)/)(?:params?|N)(?=[=:_]|$)",
    re.I,
)
ATOM = re.compile(
    r"(?P<number>\d+(?:\.\d+)?(?:e[+-]?\d+)?)"
    rf"(?P<size>[kmbt](?=(?:{'|'.join(UNITS)})?(?![A-Za-z0-9])))?"
    r"|(?P<word>[A-Za-z]+)|(?P<mark>[=:])|(?P<rest>.)",
    re.I | re.S,
)
SAME = 0.1  # share by which two statements of one size may differ


@dataclass
class Stated:
    """What one name states: numbers by quantity; those that no word explains, as written; and whether it says
    a thing twice, in two ways."""

    numbers: dict[str, float] = field(default_factory=dict)
    bare: list[tuple[float, str]] = field(default_factory=list)
    unclear: list[str] = field(default_factory=list)

    def add(self, quantity: str, value: float, text: str) -> None:
        before = self.numbers.setdefault(quantity, value)
        if abs(before - value) > SAME * value:
            self.numbers[quantity] = float("nan")
            self.unclear += [text] * (quantity in ("params", "tokens", "flops"))


@dataclass
class Number:
    value: float
    text: str  # as written
    suffix: str
    before: str = ""  # the word joined to it, by nothing or by =
    behind: str = ""
    near: list[str] = field(default_factory=list)  # words parted from it: before and behind


def parse(name: str) -> Stated:
    """The sizes that a name states."""
    out = Stated()
    for number in explained(numbers(RATIO.sub("tpp", JOINED.sub(lambda m: m[1].replace("_", ""), name)))):
        quantity = meaning(number)
        if quantity == "bare":
            out.bare.append((number.value, number.text))
        elif quantity == "unclear":
            out.unclear.append(number.text)
        elif quantity:
            thousands = quantity == "context" and number.suffix == "k"
            out.add(quantity, number.value * (1.024 if thousands else 1), number.text)
    if "d" in out.numbers:  # of w256_d8 the depth, of d256_l8 the width
        out.add("depth" if "width" in out.numbers else "width", out.numbers.pop("d"), name)
    return out


def numbers(name: str) -> list[Number]:
    """The numbers of a name with the words around them."""
    found: list[Number] = []
    atoms = list(ATOM.finditer(name))
    first_is_word = False  # of atoms that nothing parts
    for i, atom in enumerate(atoms):
        last = atoms[i - 1] if i else None
        if last is None or last["rest"]:
            first_is_word = bool(atom["word"])
        if not atom["number"]:
            continue
        number = Number(float(atom["number"]), atom[0], (atom["size"] or "").lower())
        number.value *= MULTIPLES[number.suffix] if number.suffix else 1
        marked = i > 1 and last["mark"] and atoms[i - 2]["word"]
        if marked or (last and last["word"] and first_is_word):
            number.before = atoms[i - 2]["word"] if marked else last["word"]
        elif last and last["word"]:
            number.before = "?"  # 8x7B
        behind, beyond = [*atoms[i + 1 : i + 3], None, None][:2]
        if behind and behind["word"] and not (beyond and beyond["number"] and first_is_word):
            number.behind = behind["word"]
        number.near = [neighbour(atoms, i, -1), neighbour(atoms, i, 1)]
        found.append(number)
    return found


def neighbour(atoms: list[re.Match], i: int, way: int) -> str:
    """The word alone on one side of atom i, parted from it by one mark; or ""."""
    at, beyond = i + 2 * way, i + 3 * way
    if not 0 <= at < len(atoms) or not atoms[i + way]["rest"] or not atoms[at]["word"]:
        return ""
    free = not 0 <= beyond < len(atoms) or bool(atoms[beyond]["rest"])
    return atoms[at]["word"] if free else ""


def explained(found: list[Number]) -> list[Number]:
    """The numbers, those without a word joined to them with the one that stands beside them: before all of
    them or behind all of them, whichever explains more; "?" where both explain as many and differ."""
    alone = [n for n in found if not n.before and not n.behind]
    sides = [[label(n.near[side], n) for n in alone] for side in (0, 1)]
    known = [sum(map(bool, side)) for side in sides]
    doubtful = known[0] == known[1] and sides[0] != sides[1]
    for i, number in enumerate(alone):
        if doubtful:
            number.before = "?!" if sides[0][i] or sides[1][i] or number.suffix else ""
        else:
            number.before = sides[int(known[1] > known[0])][i]
    return found


def label(word: str, number: Number) -> str:
    """A word parted from a number, where it is one that names a quantity."""
    if len(word) > 1:
        return word if word.lower() in MEANS else ""
    return word if word in {"N", "D", "C"} and not number.text.isdecimal() else ""


def meaning(number: Number) -> str:
    """The quantity that a number is of, "bare" or "unclear"; "" for none."""
    before, behind = (quantity(word, number) for word in (number.before, number.behind))
    if number.before == "?!":
        return "unclear"
    if number.behind.lower() in BEHIND and number.suffix:
        behind = BEHIND[number.behind.lower()]
    if before and behind and before != behind:
        return "unclear"
    if before or behind:
        return before or behind
    if number.before.lower() == "a" and number.suffix and not number.behind:
        return "unclear"  # 30B-A3B: a mixture of experts
    if number.before or number.behind or not number.suffix:
        return ""
    return "unclear" if number.suffix == "t" else "bare"


def quantity(word: str, number: Number) -> str:
    """What a word makes of a number: of d, tokens or a width, by how large it is."""
    if word in ("c", "C"):
        return "flops" if word == "C" and number.value >= 1e6 else ""
    word = word.lower()
    if word == "n" and number.value < 1e3:
        return ""
    if word == "d" and number.value < 1e5:
        return "d" if not number.suffix else ""
    if word in ("b", "bs", "batch") and number.suffix:
        return ""  # of tokens or of sequences
    return MEANS.get(word, "")
