"""Where the published tables lie in public, and how they are fetched when a user asks for it.

A file is used only if its bytes have the checksum written here, which somebody has to have computed
from the file at the pinned commit; a table whose checksum is not known is not fetched. Nothing
downloaded is ever unpickled or run.
"""

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from analysis.papers.claims import Missing
from analysis.tables import table
from analysis.tables.runs import Runs

RAW = "https://raw.githubusercontent.com"
CACHE = "scaling-law-lab"  # the folder's name in the user's cache
OUTLIERS = 5  # the highest losses, which Besiroglu et al. 2024 left out


@dataclass(frozen=True)
class Source:
    """A public file: its address, and either its checksum and reader or why it is not fetched."""

    url: str
    sha256: str = ""
    columns: Callable[[str, str], Mapping[str, np.ndarray]] | None = None  # of (name, its text)
    why_not: str = ""


def points(name: str, text: str) -> dict[str, np.ndarray]:
    """The columns of chinchilla_fig4.csv from Besiroglu et al.'s file.

    They read sizes, FLOPs and losses off the figure; tokens are FLOPs over 6 × the size.
    """
    rows = [row for row in csv.DictReader(text.splitlines()) if row.get("loss") != ""]
    try:
        size, flops, loss = (
            np.array([float(row[key]) for row in rows]) for key in ("Model Size", "Training FLOP", "loss")
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{name}: not the columns that were expected ({error!r})") from None
    outlier = np.zeros(len(rows))
    outlier[np.argsort(loss)[-OUTLIERS:]] = 1
    return {
        "row": np.arange(len(rows)),
        "n_params": size,
        "n_tokens": flops / (6 * size),
        "flops": flops,
        "loss": loss,
        "outlier": outlier,
    }


PORIAN = "its public form is a pickle, which can run any code when it is opened"
NOTEBOOK = "its rows are text inside a notebook of 3.7 MB, whose checksum is not known"
PAPER = "it is a table of the paper; the notebook that repeats it has no known checksum"
_PORIAN = f"{RAW}/formll/resolving-scaling-law-discrepancies/0dc60d9/data"
_NANOGPT = f"{RAW}/karpathy/nanoGPT/3adf61e/scaling_laws.ipynb"
SOURCES = {
    "chinchilla_fig4.csv": Source(
        f"{RAW}/epoch-research/analyzing-chinchilla/92258837425e1b5f2851d624287f0120583a3d0e/"
        "data/svg_extracted_data.csv",
        # second-hand: what another public project records for this file at this commit
        sha256="193478df4e90f040016431996c45682659306840ecdadf83cfb9cd5ca0aa1b30",
        columns=points,
    ),
    "porian_rw_isoflops.csv": Source(f"{_PORIAN}/summary_df.pickle.xz", why_not=PORIAN),
    "porian_rw_optima.csv": Source(f"{_PORIAN}/summary_df.pickle.xz", why_not=PORIAN),
    "datablations_c4.csv": Source(
        f"{RAW}/huggingface/datablations/13701315b163f1c54642b94ad237b2699187c3ee/utils/parametric_fit.ipynb",
        why_not=NOTEBOOK,
    ),
    "chinchilla_models.csv": Source(_NANOGPT, why_not=PAPER),
    "chinchilla_flop_ratio.csv": Source(_NANOGPT, why_not=PAPER),
}


@dataclass
class Downloads:
    """Tables from their public addresses; each is tried once, and kept in the user's cache.

    `failed` holds what went wrong: name -> reason. A table that is not offered is not a failure.

    Raises:
      ValueError: a table could be fetched, but pooch is not installed.
    """

    folder: Path | None = None  # the cache; None: the one that pooch names for this user
    timeout: float = 10.0  # seconds without an answer
    failed: dict[str, str] = field(default_factory=dict)
    kept: dict[str, Runs] = field(default_factory=dict)

    def __post_init__(self) -> None:
        try:
            import pooch  # noqa: F401
        except ImportError:
            raise ValueError(
                "--download needs the package pooch, which is not installed: "
                "python -m pip install pooch, or name a folder of tables with --data DIR"
            ) from None

    def __call__(self, name: str) -> Runs:
        """One table; raises `Missing` with the reason where it cannot be had."""
        source = SOURCES.get(name, Source("", why_not="it is not a table of these papers"))
        if not source.sha256:
            raise Missing(
                f"needs {name}, which --download does not offer, since {source.why_not} "
                f"({source.url or 'no address'}); name a folder that holds it with --data DIR"
            )
        if name in self.failed:
            raise Missing(self.failed[name])
        if name not in self.kept:
            text = self.text(name, source)
            self.kept[name] = table.from_columns(source.url, **source.columns(name, text))
        return self.kept[name]

    def text(self, name: str, source: Source) -> str:
        """The public file, from the cache or its address, once its checksum is the right one."""
        import pooch

        pooch.get_logger().setLevel("ERROR")
        try:
            path = pooch.retrieve(
                source.url,
                known_hash=f"sha256:{source.sha256}",
                fname=f"{source.sha256[:8]}-{name}",
                path=self.folder or pooch.os_cache(CACHE),
                downloader=pooch.HTTPDownloader(timeout=self.timeout),
            )
            return Path(path).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:  # requests' own errors are OSErrors
            if isinstance(error, ValueError) and "known hash" in str(error):
                reason = (
                    f"was fetched from {source.url} but not used: its checksum is not "
                    f"{source.sha256[:12]}…, that of the file which the claims were made with"
                )
            else:
                reason = f"could not be fetched from {source.url} ({first_line(error)})"
        self.failed[name] = f"{name} {reason}; name a folder that holds it with --data DIR"
        raise Missing(self.failed[name])


def first_line(error: Exception) -> str:
    text = str(error).strip().split("\n")[0]
    return f"{type(error).__name__}: {text[:120]}"
