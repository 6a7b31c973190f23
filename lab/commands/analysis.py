"""What a table says: `python -m analysis`, asked in a process of its own, since lab and analysis meet in
tables of runs alone."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]  # where `analysis` lies, wherever the command is typed


class Refused(RuntimeError):
    """What the analysis will not answer, in its words."""


def ask(*words: str | Path) -> str:
    """What `analysis WORDS` prints, but for the command that it would type next.

    Raises:
      Refused: with the reason it gives.
    """
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-m", "analysis", *map(str, words)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": path},
    )
    if done.returncode:
        raise Refused(done.stderr.strip() or done.stdout.strip())
    return "\n".join(line for line in done.stdout.splitlines() if not line.startswith("Next: ")).strip()
