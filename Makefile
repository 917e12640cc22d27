# Everything a newcomer needs: `make demo` and `make test` set themselves up.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-long test-nfs lint bench fuzz clean

demo: .venv/ready-demo
	$(BIN)/python examples/digits/demo.py

test: lint
	$(BIN)/python -m pytest -n 2 --dist worksteal

test-long: .venv/ready-dev
	$(BIN)/python -m pytest --long

# On real NFS, in virtual machines: see tests/nfs/nodes.py. make test-nfs NFS="--vers 3 --only many"
test-nfs: .venv/ready-dev
	$(BIN)/python -m tests.nfs.campaign $(NFS)

lint: .venv/ready-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pyright
	$(BIN)/python packaging/check_scripts.py

bench: .venv/ready-dev
	$(BIN)/python benchmarks/log_latency.py
	$(BIN)/python benchmarks/many_runs.py
	$(BIN)/python benchmarks/processes.py
	$(BIN)/python benchmarks/sync_throughput.py

# One target alone: make fuzz TARGETS=batch SECONDS=600
SECONDS := 60
TARGETS := batch absorbed row journal raw-journal name component file-name

fuzz: .venvs/fuzz/ready
	@for target in $(TARGETS); do \
	  .venvs/fuzz/bin/python -m fuzz.decoders $$target -max_total_time=$(SECONDS) || exit 1; \
	done

.venvs/fuzz/ready: pyproject.toml
	$(PYTHON) -m venv .venvs/fuzz
	.venvs/fuzz/bin/python -m pip install --quiet -e . 'atheris>=3' 'hypothesis>=6.130'
	@touch $@

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Runstore needs Python 3.11 or newer: make PYTHON=python3.13 ..."; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip

.venv/ready-demo: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet -e '.[demo,server]'
	@touch $@

.venv/ready-dev: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet -e '.[dev]'
	@touch $@

clean:
	rm -rf .venv .venvs build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
