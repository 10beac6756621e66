# make demo    set-up and the main job: a real sweep on a small real model, with its frontier and report
# make test    set-up and tests, two processes at a time
# make check   ruff and mypy
# make format  ruff format, and its safe fixes
#
# TORCH_INDEX_URL=<CPU index> takes torch from there: on Linux the plain package brings gigabytes of CUDA libraries.

PYTHON ?= python3
VENV ?= .venv
TORCH_INDEX_URL ?=
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

.PHONY: demo test check format

$(VENV)/.run: constraints.txt setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(if $(TORCH_INDEX_URL),$(PIP) --index-url $(TORCH_INDEX_URL) torch)
	$(PIP) --editable ".[lora]"
	touch $@

$(VENV)/.dev: $(VENV)/.run
	$(PIP) --editable ".[dev]"
	touch $@

demo: $(VENV)/.run
	$(BIN)/ftstab run sweeps/quickstart.yaml

test: $(VENV)/.dev
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
