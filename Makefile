# Two commands do everything: `make demo` and `make test`. Each makes what it needs first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
# Setuptools warns at every editable install that its folders shadow others of their names: here they are meant to.
EDITABLE := PYTHONWARNINGS=ignore:Editable $(PIP) install --no-deps --no-build-isolation --editable
KERNELS := $(shell find core server -name '*.pyx' -o -name '*.pxd' -o -name '*.h')
PROTOS := $(wildcard proto/muster/v1/*.proto)

.PHONY: demo test kill bench lint types clean build
.DEFAULT_GOAL := build

build: $(VENV)/.kernels

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit("Muster needs Python 3.11 or newer: make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	@echo "virtual environment: $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.installed: $(VENV)/.python pyproject.toml clients/python/pyproject.toml requirements-dev.txt
	@echo "libraries: requirements-dev.txt"
	@$(PIP) install --upgrade pip
	@$(PIP) install -r requirements-dev.txt
	@touch $@

# The script itself, as setuptools would pass over an error of it in an editable install.
$(VENV)/.stubs: $(VENV)/.installed clients/python/build_stubs.py clients/python/setup.py $(PROTOS)
	@$(BIN)/python clients/python/build_stubs.py
	@$(EDITABLE) clients/python
	@touch $@

# The editable install compiles the kernels beside their sources.
$(VENV)/.kernels: $(VENV)/.installed setup.py $(KERNELS) | $(VENV)/.stubs
	@echo "kernels: $(filter %.pyx,$(KERNELS))"
	@$(EDITABLE) .
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
	rm -rf build $(VENV)/.stubs $(VENV)/.kernels demo-store .mypy_cache .ruff_cache .pytest_cache
	find core server -name '*.so' -delete -o -name '*.c' -delete -o -name '*.cpp' -delete
