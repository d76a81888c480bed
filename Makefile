# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
TEST_WORKERS ?= 2
TEST_FLAGS ?=

.PHONY: demo test lint format install benchmarks clean

install: $(VENV)/.installed

$(VENV)/.installed: setup.py constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[test]' --constraint constraints.txt
	touch $@

demo: install
	$(BIN)/python -m demo --output=demo_output

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# One thread per test process: two processes share the cores.
test: install lint
	OMP_NUM_THREADS=1 TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1 TF_CPP_MIN_LOG_LEVEL=2 \
	$(BIN)/python -m pytest --numprocesses $(TEST_WORKERS) --dist worksteal $(TEST_FLAGS)

clean:
	rm -rf $(VENV) demo_output build *.egg-info
