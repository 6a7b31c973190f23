# run: the quickstart, from nothing to its report.  test, test-faults, lint: what they say.
# papers: the larger experiments at laptop size, three hours on two cores; type it again after any stop.
# atlas: `papers` and every other entry of docs/atlas.md at laptop size, an hour more; likewise.
# test-cluster: the launchers on a real Slurm (Debian's slurmctld slurmd slurm-client munge) and a
# real Ray, started on this machine; what is not installed is named and left out.
# mutants: breaks the code in 200 random places and counts what the tests notice, about an hour on two
# cores; MUTANTS="--seed 1 --count 20 --only tables" draws others.
# bench: speed beside other tools, about an hour on two cores; BENCH="grid --nanogpt DIR" names parts and
# options, VENV=DIR another environment.
# Each makes .venv and installs what it needs when that is missing, and nothing when it is there.
PYTHON ?= python3
VENV ?= .venv
PIP = $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check

.PHONY: run papers atlas test test-faults test-cluster mutants bench lint

run: $(VENV)/.run
	$(VENV)/bin/python -m lab run experiments.quickstart

# what was trained before is not trained again; a prediction is sealed once, before its run exists
papers: $(VENV)/.papers
	$(VENV)/bin/python -m lab run experiments.chinchilla2022
	$(VENV)/bin/python -m lab run experiments.chinchilla2022:reviews
	$(VENV)/bin/python -m lab run experiments.chinchilla2022:bpe
	$(VENV)/bin/python -m lab run experiments.porian2024
	$(VENV)/bin/python -m lab run experiments.known_entropy
	$(VENV)/bin/python -m lab run experiments.transfer
	$(VENV)/bin/python -m lab run experiments.dtypes
	$(VENV)/bin/python -m lab run experiments.kaplan2020
	$(VENV)/bin/python -m lab run experiments.compression
	$(VENV)/bin/python -m lab run experiments.cooldown
	$(VENV)/bin/python -m lab run experiments.repeats
	$(VENV)/bin/python -m lab run experiments.charrnn
	$(VENV)/bin/python -m lab run experiments.context
	$(VENV)/bin/python -m experiments.prediction seal --unless-sealed
	$(VENV)/bin/python -m experiments.prediction seal --unless-sealed --size reviews
	$(VENV)/bin/python -m experiments.prediction seal --unless-sealed --size bpe
	$(VENV)/bin/python -m lab run experiments.prediction
	$(VENV)/bin/python -m experiments.prediction score

# in the order of docs/atlas.md; what `papers` trains is among it
ATLAS = architectures classics word2vec modalities experts depth incontext after distillation reward policy \
	objectives sentiment cells texts images captions vision mae muon changes changes:ladders
atlas: papers
	$(foreach name,$(ATLAS),$(VENV)/bin/python -m lab run experiments.$(name) &&) true
	$(VENV)/bin/python -m lab compare experiments.activation --set model.activation=swiglu

test: $(VENV)/.dev
	$(VENV)/bin/python -m pytest -n auto --maxprocesses 2 --dist loadfile --no-loadscope-reorder

# dear tests, every family by every way, kill -9, full disks, shifted clocks and 10,000 runs, at length: an hour or more on two cores
test-faults: $(VENV)/.dev
	JAX_DISABLE_MOST_OPTIMIZATIONS=0 $(VENV)/bin/python -m pytest -m long
	EVERY_WAY=1 JAX_DISABLE_MOST_OPTIMIZATIONS=0 $(VENV)/bin/python -m pytest tests/test_families.py -k "every_way or gone_on or causal_has or samples"
	$(VENV)/bin/python tests/faults/kill9.py --kills 200
	$(VENV)/bin/python tests/faults/disk_full.py
	$(VENV)/bin/python tests/every_write.py
	$(VENV)/bin/python tests/faults/clock_skew.py --workers 8
	$(VENV)/bin/python tests/faults/clock_skew.py --workers 8 --kill
	$(VENV)/bin/python tests/many_runs.py

test-cluster: $(VENV)/.cluster
	$(VENV)/bin/python -m pytest tests/cluster $(CLUSTER)

mutants: $(VENV)/.mutants
	$(VENV)/mutants/bin/python tests/mutants.py --python $(VENV)/bin/python $(MUTANTS)

bench: $(VENV)/.bench
	$(VENV)/bin/python -m bench $(BENCH)

lint: $(VENV)/.dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

$(VENV)/.run: requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) -r requirements.txt
	touch $@

$(VENV)/.papers: $(VENV)/.run
	$(PIP) "tokenizers>=0.21,<1" "zstandard>=0.22,<1"
	touch $@

# jax[tpu]: the TPU's compiler, for the tests of `lab plan --on`, which skip without it (213 MB; Linux on x86 only)
# playwright: drives Debian's chromium in tests/test_browser.py, which skips without either
$(VENV)/.dev: $(VENV)/.run pyproject.toml
	$(PIP) pytest pytest-xdist hypothesis ruff pooch "tokenizers>=0.21,<1"
	-$(PIP) "jax[tpu]"
	-$(PIP) playwright
	touch $@

$(VENV)/.mutants: $(VENV)/.dev
	$(PYTHON) -m venv $(VENV)/mutants
	$(VENV)/mutants/bin/python -m pip install --quiet --disable-pip-version-check "cosmic-ray>=8.4,<9"
	touch $@

$(VENV)/.bench: $(VENV)/.run pyproject.toml
	$(PIP) torch transformers
	touch $@

$(VENV)/.cluster: $(VENV)/.dev
	$(PIP) submitit "ray[default]"
	touch $@
