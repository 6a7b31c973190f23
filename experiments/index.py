"""python -m experiments.index: write into experiments/README.md what the committed tables answer.

Each experiment's `answer(path)` is one sentence made from its table alone; the column "answer" of
the index holds these sentences, each with the day of the last run, and nothing else. No experiment
of its own.
"""

import csv
import re
from collections.abc import Callable
from pathlib import Path

from experiments import (
    charrnn,
    chinchilla2022,
    compression,
    context,
    cooldown,
    dtypes,
    kaplan2020,
    known_entropy,
    porian2024,
    prediction,
    quickstart,
    rates,
    repeats,
    transfer,
)
from experiments.reports import tables
from lab.store.files import replace_file

PAGE = Path(__file__).parent / "README.md"
ANSWERS: dict[str, Callable[[Path], str]] = {  # name of the table -> what it answers
    "quickstart": quickstart.answer,
    "rates": rates.answer,
    "dtypes": dtypes.answer,
    "chinchilla2022": chinchilla2022.answer,
    "chinchilla2022-reviews": chinchilla2022.answer,
    "chinchilla2022-bpe": chinchilla2022.answer,
    "porian2024": porian2024.answer,
    "kaplan2020": kaplan2020.answer,
    "prediction": prediction.answer,
    "known_entropy": known_entropy.answer_of,
    "transfer": transfer.answer,
    "charrnn": charrnn.answer,
    "context": context.answer,
    "compression": compression.answer,
    "cooldown": cooldown.answer,
    "repeats": repeats.answer,
}


def answers() -> dict[str, str]:
    """What every committed table answers; those that were not trained yet are left out."""
    found = {}
    for name, answer in ANSWERS.items():
        path = prediction.FILE if name == "prediction" else tables.kept(name)
        if path.exists():
            found[name] = f"{dated(path)}: {answer(path)}"
    return found


def dated(path: Path) -> str:
    """The day on which the last row of a table was made."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return max(row.get("finished") or row.get("time") or "" for row in rows)[:10]


def row(name: str) -> re.Pattern:
    """The index's line of an experiment: what is before the answer's cell, the answer, the rest."""
    return re.compile(rf"^(\| \[{re.escape(name)}\]\([^)]*\) \|[^|]*\|[^|]*\|)([^|]*)(\|.*)$", re.M)


def cells(text: str) -> dict[str, str]:
    """The answers that the page states."""
    return {name: found[2].strip() for name in ANSWERS if (found := row(name).search(text))}


def write() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for name, said in answers().items():
        if not row(name).search(text):
            raise SystemExit(f"{PAGE} has no line for {name}")
        text = row(name).sub(lambda found, said=said: f"{found[1]} {said} {found[3]}", text)
    replace_file(PAGE, text)
    print(f"written: {PAGE}")


if __name__ == "__main__":
    write()
