"""Small corpora out of Python packages' sources: names, and a manual in Markdown."""

import tarfile
from pathlib import Path

from lab.data.downloads import Package, fetch, held_out, utf8
from lab.data.texts import Say, Text, distinct, in_splits, key_of

NAMES = Package(
    "names", "0.3.0", "names-0.3.0.tar.gz", "726e46254f2ed03f1ffb5d941dae3bc67c35123941c29becd02d48d0caa2a671"
)
FLAX = Package(
    "flax", "0.10.4", "flax-0.10.4.tar.gz", "57ae44d3f111fc85cff9049adb9684ce8ebd44e87bd8ca776ed52422c2d85021"
)
MANUAL = "docs_nnx/"  # docs/ has many of its pages again


def names(name: str, root: Path, say: Say) -> Text:
    """First and last names, a document each: short ones with an end, in no order."""
    with tarfile.open(fetch(NAMES, root, say)) as archive:
        lists = [
            archive.extractfile(file).read().decode("ascii") for file in archive if "/dist." in file.name
        ]
    every = {line.split()[0].capitalize() for text in lists for line in text.splitlines() if line.strip()}
    documents = [(each, f"{each}\n") for each in sorted(every, key=lambda each: (key_of(each), each))]
    notes = {
        "source": "lists of the United States' census of 1990 in the Python source package names-0.3.0",
        "source_sha256": NAMES.sha256,
        "licence": "public domain; package MIT",
        "cleaning": "capitalized, each once, how frequent it is left out; a line break ends each",
        "split": "whole names held out, by the order of their hashes",
    }
    return Text(in_splits(documents, held_out(documents)), notes)


def markdown(name: str, root: Path, say: Say) -> Text:
    """The manual of a library, prose and Python."""
    documents = []
    with tarfile.open(fetch(FLAX, root, say)) as archive:
        for member in archive:
            path = member.name.partition("/")[2]
            if path.startswith(MANUAL) and path.endswith(".md") and member.isfile():
                if text := utf8(archive.extractfile(member).read()):
                    documents.append((path, text))
    documents = distinct(sorted(documents))
    notes = {
        "source": f"Markdown under {MANUAL} of the Python source package flax-0.10.4",
        "source_sha256": FLAX.sha256,
        "licence": "Apache-2.0",
        "cleaning": "exact copies left out",
        "split": "whole pages held out, by the order of the hashes of their names",
    }
    return Text(in_splits(documents, held_out(documents)), notes)
