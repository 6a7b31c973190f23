# run: the quickstart, from nothing to its report.  test, test-faults, lint, bench: what they say.
# test-cluster: the launchers on a real Slurm (Debian's slurmctld slurmd slurm-client munge) and a
# real Ray, started on this machine; what is not installed is named and left out.
# Each makes .venv and installs what it needs when that is missing, and nothing when it is there.
PYTHON ?= python3
VENV ?= .venv
PIP = $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check

.PHONY: run test test-faults test-cluster bench lint

run: $(VENV)/.run
	$(VENV)/bin/python -m lab run experiments.quickstart

test: $(VENV)/.dev
	$(VENV)/bin/python -m pytest -n auto --maxprocesses 2 --dist loadfile --no-loadscope-reorder

# kill -9, full disks and shifted clocks, at length: an hour or more on two cores
test-faults: $(VENV)/.dev
	$(VENV)/bin/python tests/faults/kill9.py --kills 200
	$(VENV)/bin/python tests/faults/disk_full.py --points 40
	$(VENV)/bin/python tests/faults/clock_skew.py --workers 8
	$(VENV)/bin/python tests/faults/clock_skew.py --workers 8 --kill

test-cluster: $(VENV)/.cluster
	$(VENV)/bin/python -m pytest tests/cluster $(CLUSTER)

bench: $(VENV)/.run
	$(VENV)/bin/python -m bench.step

lint: $(VENV)/.dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

$(VENV)/.run: requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) -r requirements.txt
	touch $@

$(VENV)/.dev: $(VENV)/.run pyproject.toml
	$(PIP) pytest pytest-xdist hypothesis ruff pooch
	touch $@

$(VENV)/.cluster: $(VENV)/.dev
	$(PIP) submitit "ray[default]"
	touch $@
