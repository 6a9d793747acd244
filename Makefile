# Two commands do everything: `make demo` and `make test`. Each makes what it needs first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
KERNELS := $(shell find core -name '*.pyx' -o -name '*.pxd')
PROTOS := $(wildcard proto/muster/v1/*.proto)

.PHONY: demo test kill bench lint types clean build
.DEFAULT_GOAL := build

build: $(VENV)/.built

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit("Muster needs Python 3.11 or newer: make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.installed: $(VENV)/.python pyproject.toml clients/python/pyproject.toml requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

$(VENV)/.stubs: $(VENV)/.installed $(PROTOS)
	$(BIN)/python clients/python/build_stubs.py
	@touch $@

$(VENV)/.built: $(VENV)/.stubs setup.py $(KERNELS)
	$(BIN)/python setup.py --quiet build_ext --inplace
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable clients/python --editable .
	@touch $@

demo: build
	$(BIN)/muster demo

test: build lint types
	$(BIN)/python -m pytest -m "not slow"

kill: build
	$(BIN)/python -m pytest tests/promises/test_kill.py --kills 200 --timeout 7200

bench: build
	$(BIN)/python -m pytest tests/benchmarks/kernels --benchmark-enable --benchmark-only

lint: build
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: build
	$(BIN)/mypy

clean:
	rm -rf build demo-store .mypy_cache .ruff_cache .pytest_cache
	find core -name '*.so' -delete -o -name '*.c' -delete -o -name '*.cpp' -delete
