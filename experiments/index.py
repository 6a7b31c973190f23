"""python -m experiments.index: write what the committed tables answer into the table of
experiments/README.md, one line each, and into a page an experiment under experiments/answers/.

A page is the experiment's docstring, then `answer(path)` of its tables, then its figures; the first
line of an answer stands in the table. Nothing of them is written by hand.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from experiments import (
    activation,
    after,
    architectures,
    captions,
    carried,
    cells,
    changes,
    charrnn,
    chinchilla2022,
    classics,
    compression,
    context,
    cooldown,
    depth,
    distillation,
    dtypes,
    equal_arms,
    experts,
    images,
    incontext,
    kaplan2020,
    known_entropy,
    mae,
    modalities,
    muon,
    objectives,
    plain,
    policy,
    porian2024,
    prediction,
    quickstart,
    rates,
    repeats,
    reward,
    seals,
    seeds,
    sentiment,
    sweeps,
    texts,
    transfer,
    vision,
    word2vec,
)
from experiments.reports import tables
from lab.store.files import replace_file

HERE = Path(__file__).parent
README = HERE / "README.md"
HEAD = "| experiment | question | command | cost on two cores | answer |\n|---|---|---|---|---|\n"
MORE_FIGURES = {"quickstart": ["../docs/isoflop.png"], "transfer": ["results/coordinates.png"]}


@dataclass(frozen=True)
class Entry:
    """A line of the table: an experiment, or one of its sizes."""

    module: ModuleType
    size: str = "laptop"
    beside: str = ""  # what it asks beside the experiment's own question

    @property
    def name(self) -> str:
        return self.module.__name__.rpartition(".")[2]

    @property
    def table(self) -> Path:
        own = tables.kept(tables.name_of(self.name, self.size))
        return prediction.FILE if self.module is prediction else own

    @property
    def cost(self) -> str:
        words = sections(self.module)["Cost"]
        own = words.partition(f"{self.size}: ")[2] or words
        runs, flops, minutes = re.match(r"(\w+ runs), (\S+) FLOPs, (?:about )?(\d+) min", own).groups()
        return f"{runs}, {flops} FLOPs, {minutes} min"

    @property
    def question(self) -> str:
        return self.beside or sections(self.module)["title"]

    @property
    def finished(self) -> str:
        """The day on which the last row of its table was made."""
        days = (row.get("finished") or row.get("time") or "" for row in tables.lines_of(self.table))
        return max(days)[:10]

    @property
    def answer(self) -> list[str]:
        """In one line, and what that rests on."""
        return self.module.answer(self.table)


ENTRIES = (
    Entry(quickstart),
    Entry(plain),
    Entry(rates),
    Entry(sweeps),
    Entry(sweeps, "again", "Does that rule, changed since, hold on ten others?"),
    Entry(carried),
    Entry(dtypes),
    Entry(chinchilla2022),
    Entry(chinchilla2022, "reviews", "The same, smaller, on film reviews"),
    Entry(chinchilla2022, "bpe", "The same, smaller, on the kernel in 1,024 byte-pair ids"),
    Entry(seeds),
    *map(Entry, (porian2024, kaplan2020, prediction, seals)),
    Entry(seals, "fine-linux-bpe", "The same anew, at a quarter of the batch"),
    *map(Entry, (known_entropy, transfer)),
    *map(Entry, (classics, charrnn, context, compression, cooldown, repeats, activation)),
    *map(Entry, (muon, experts, depth, architectures, changes)),
    Entry(changes, "ladders", "What is each of four changes worth in compute, by two sets of seeds?"),
    Entry(equal_arms),
    *map(Entry, (incontext, after, distillation, reward, policy)),
    *map(Entry, (objectives, sentiment, cells)),
    *map(Entry, (images, captions, vision, mae)),
    Entry(word2vec),
    Entry(modalities),
    Entry(texts),
)


def sections(module: ModuleType) -> dict[str, str]:
    """The parts of an experiment's docstring; `title` is before them and `text` after."""
    title, _, rest = module.__doc__.partition("\n\n")
    parts = re.split(r"^(Question|Command|Cost|Answer):", rest, flags=re.M)
    named = dict(zip(parts[1::2], parts[2::2], strict=True))
    named["Answer"], _, text = named["Answer"].partition("\n\n")
    named["Command"] = "\n".join(line.strip() for line in named["Command"].strip().splitlines())
    joined = {key: " ".join(named[key].split()) for key in ("Question", "Cost", "Answer")}
    return {"title": " ".join(title.split()), "text": text.strip(), **named, **joined}


def row(entry: Entry, answer: str) -> str:
    name = tables.name_of(entry.name, entry.size)
    command = f"`lab run experiments.{name.replace('-', ':', 1)}`"
    if " compare " in (typed := sections(entry.module)["Command"]):
        command = f"`{typed.removeprefix('python -m ')}`"
    return f"| [{name}](answers/{entry.name}.md) | {entry.question} | {command} | {entry.cost} | {answer} |\n"


def sentence(words: str) -> str:
    return words[0].upper() + words[1:]


def page(entries: list[Entry], answers: list[list[str]]) -> str:
    """The page of an experiment."""
    part, name = sections(entries[0].module), entries[0].name
    blocks = [
        f"# {part['title']}",
        f"[All experiments](../README.md) · [experiments/{name}.py](../{name}.py)",
        f"**Question.** {sentence(part['Question'])}",
        f"```bash\n{part['Command']}\n```",
        f"**Cost.** {sentence(part['Cost'])}",
        f"**Expected.** {sentence(part['Answer'].removeprefix('expected: '))}",
        part["text"],
    ]
    for entry, (first, *more) in zip(entries, answers, strict=True):
        blocks.append(f"## Answer: {entry.size}" if len(entries) > 1 else "## Answer")
        blocks += [f"{first} (runs of {entry.finished}).", "\n".join(f"- {line}" for line in more)]
    figures = [*MORE_FIGURES.get(name, []), *kept(name, "png")]
    results = [*kept(name, "csv"), *(["predictions.csv"] if name == "prediction" else [])]
    blocks += ["## Figures and tables", *(f"![{Path(path).stem}](../{path})" for path in figures)]
    blocks.append(", ".join(f"[{Path(path).name}](../{path})" for path in results))
    return "\n\n".join(block for block in blocks if block) + "\n"


def kept(name: str, kind: str) -> list[str]:
    return [path.relative_to(HERE).as_posix() for path in sorted(tables.RESULTS.glob(f"{name}*.{kind}"))]


def pages() -> dict[Path, str]:
    """Every page, and the README with its table. What was not trained yet is left out."""
    answers = {entry: entry.answer for entry in ENTRIES if entry.table.exists()}
    text = README.read_text(encoding="utf-8")
    before, after = text.partition(HEAD)[::2]
    if not after:
        raise SystemExit(f"{README} has no table that begins {HEAD.splitlines()[0]}")
    rows = "".join(row(entry, first) for entry, (first, *_) in answers.items())
    written = {README: before + HEAD + rows + "\n" + after.partition("\n\n")[2]}
    for name in dict.fromkeys(entry.name for entry in answers):
        own = [entry for entry in answers if entry.name == name]
        written[HERE / "answers" / f"{name}.md"] = page(own, [answers[entry] for entry in own])
    return written


def write() -> None:
    for path, text in pages().items():
        path.parent.mkdir(exist_ok=True)
        replace_file(path, text)
        print(f"written: {path}")


if __name__ == "__main__":
    write()
