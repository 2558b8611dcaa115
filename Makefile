# Two commands do everything: `make run` opens the page, `make test` runs every check.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

export GRADIO_ANALYTICS_ENABLED := False
export HF_HUB_DISABLE_TELEMETRY := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: run setup test test-fast check format bench clean

run: setup  ## Open the page on http://127.0.0.1:7860
	$(BIN)/shotwise serve

setup: $(STAMP)  ## Make .venv and install; does nothing if that is done

# torch comes first and by its exact version, so that no other package pulls in another build of it.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; set PYTHON=/path/to/python3.11."; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[cpu,dev]'
	touch $@

check: setup  ## Lint, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: check  ## Everything: checks and all tests that this machine can run
	$(BIN)/python -m pytest -m "not gpu"

test-fast: setup  ## Only the tests that take seconds and need nothing but the package
	$(BIN)/python -m pytest -m "not (slow or browser or shared or gpu)"

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup  ## Measurements; see benchmarks/README.md
	$(BIN)/python benchmarks/bench_index.py assistant/demo/data/reviews.jsonl --input text --rows 230
	$(BIN)/python benchmarks/bench_startup.py

clean:
	rm -rf $(VENV) build dist *.egg-info
