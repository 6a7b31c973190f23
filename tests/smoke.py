"""Import, one tiny grid trained for real, one fit: run by hand or by .ci/run on another Python."""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

if __name__ == "__main__":
    from analysis.fitting import fit
    from analysis.laws import PowerLaw
    from analysis.tables import table
    from lab.commands import cli

    with tempfile.TemporaryDirectory() as folder:
        experiment, out = Path(__file__).parent / "tiny.py", Path(folder) / "runs.csv"
        options = ["--store", f"{folder}/runs"]
        assert cli.main(["run", str(experiment), *options]) == 0
        assert cli.main(["export", str(experiment), *options, "-o", str(out)]) == 0
        runs = table.read(out)
        found = fit(PowerLaw, runs, inputs=("flops",), output="loss", fixed={"E": 0.0})
    print(f"smoke passed on Python {sys.version.split()[0]}: {len(runs.loss)} runs, {found.law}")
