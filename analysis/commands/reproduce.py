"""`python -m analysis reproduce PAPER|all`: published against ours, claim by claim."""

import argparse
import sys
import textwrap
import time
from dataclasses import asdict, replace
from pathlib import Path

from analysis.commands.help import COMMANDS
from analysis.commands.shared import check_outputs, dump
from analysis.papers import (
    besiroglu2024,
    hoffmann2022,
    kaplan2020,
    muennighoff2023,
    pearce2024,
    porian2024,
    public,
)
from analysis.papers.claims import VERDICTS, Claim, Missing, Paper, find

PAPERS = {
    module.__name__.rsplit(".", 1)[-1]: module
    for module in (kaplan2020, hoffmann2022, muennighoff2023, besiroglu2024, pearce2024, porian2024)
}


def add(commands) -> None:
    """Add `reproduce` to the command line's subparsers."""
    offered = [name for name, source in public.SOURCES.items() if source.sha256]
    sub = commands.add_parser("reproduce", help=COMMANDS["reproduce"][0])
    sub.set_defaults(run=run)
    sub.add_argument("paper", metavar="PAPER", choices=[*PAPERS, "all"], help=f"{', '.join(PAPERS)} or all")
    sub.add_argument("--data", metavar="DIR", help="published tables (default: SCALING_DATA)")
    sub.add_argument(
        "--download",
        action="store_true",
        help="fetch tables that are not there from their public addresses, checked "
        "and cached; needs the package pooch; on offer: "
        f"{', '.join(offered) or 'none yet'}",
    )
    sub.add_argument("--json", metavar="FILE", help="write the claims in full precision")
    sub.add_argument("--figures", metavar="DIR", help="draw the papers' figures as PNG files")


def run(options: argparse.Namespace) -> int:
    """Compute, print, write; 1 if a claim or a download fails."""
    check_outputs(options)
    if options.figures and Path(options.figures).is_file():
        raise ValueError(f"--figures {options.figures} is a file; name a folder")
    data, start = find(options.data), time.perf_counter()
    if data.folder is None and not options.download:
        print(
            "no published tables were named, so claims on them are left out. To have them: "
            f"python -m analysis reproduce {options.paper} --download (what is public; pip install pooch), "
            "or name a folder with --data DIR or SCALING_DATA (docs/papers.md)",
            file=sys.stderr,
        )
    downloads = public.Downloads() if options.download else None
    data = replace(data, fetch=downloads)
    names = list(PAPERS) if options.paper == "all" else [options.paper]
    claims: list[Claim] = []
    for name in names:
        paper = PAPERS[name].reproduce(data)
        print(table(paper.claims))
        claims += paper.claims
        if options.figures:
            draw(paper, Path(options.figures))
    counts = {word: sum(c.verdict == word for c in claims) for word in VERDICTS}
    listed = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    print(f"{len(claims)} claims: {listed}; {time.perf_counter() - start:.0f} s")
    if options.json:
        dump(options.json, [asdict(claim) for claim in claims])
    failed = downloads.failed if downloads else {}
    for reason in failed.values():
        print(f"analysis reproduce: {reason}", file=sys.stderr)
    if counts.get("no data"):
        print(f"Next: python -m analysis reproduce {options.paper} --download")
    else:
        print(f"Next: python -m analysis reproduce {options.paper} --figures figures")
    return 1 if counts["fail"] or failed else 0


def table(claims: list[Claim]) -> str:
    """One paper's claims as aligned lines; what differs or is missing says why below."""
    lines = [claims[0].paper if claims else ""]
    wide = max((len(c.claim) for c in claims), default=0)
    lines.append(f"  {'':<{wide}}  {'published':>11} {'ours':>11} {'tolerance':>10}  verdict")
    for c in claims:
        numbers = f"{number(c.published):>11} {number(c.ours):>11} {number(c.tolerance, 2):>10}"
        lines.append(f"  {c.claim:<{wide}}  {numbers}  {c.verdict}")
    for note in dict.fromkeys(c.note for c in claims if c.verdict == "no data"):
        lines.append(f"  no data: {note}")
    for c in claims:
        if c.verdict in ("explained", "fail"):
            text = f"{c.verdict}, {c.claim}: {c.note}"
            lines += textwrap.wrap(text, 100, initial_indent="  ", subsequent_indent="    ")
    return "\n".join(lines) + "\n"


def number(value: float | None, digits: int = 5) -> str:
    return "-" if value is None else f"{value:.{digits}g}"


def draw(paper: Paper, folder: Path) -> None:
    """Write every figure of a paper whose data is there."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in paper.figures.items():
        try:
            figure = make()
        except Missing as missing:
            print(f"  no figure {name}: {missing}")
            continue
        path = folder / f"{name}.png"
        figure.savefig(path)
        print(f"  figure: {path}")
    print()
