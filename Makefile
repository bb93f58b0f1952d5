# Every target sets up what it needs. `make` alone lists them.
PYTHON ?= python3
VENV ?= .venv
PY := $(VENV)/bin/python
ARGS ?=
MAIN_JOB := method=ssvr dataset=digits seeds=[0,1]

.DEFAULT_GOAL := help
.PHONY: help setup run test smoke bench lint

help:  ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "%-10s %s\n", $$1, $$2}'

setup: $(VENV)/.done  ## make the virtual environment (torch and torchvision resolved together)

$(VENV)/.done: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet '.[dev,joblib]'
	@touch $@

run: setup  ## the main job: SSVR on the embedded digits, or ARGS="method=... dataset=..."
	$(PY) run.py $(or $(ARGS),$(MAIN_JOB))

test: setup  ## all tests; those on real data run where the data is
	$(PY) -m pytest -n 2 $(ARGS)

smoke: setup  ## every experiment at smoke scale, in a folder of its own
	@set -e; for f in $$(cd conf/experiment && ls */*.yaml); do \
		$(PY) run.py experiment=$${f%.yaml} scale=smoke tracker=none verbose=false results_root=results/smoke; echo "$${f%.yaml}: done"; done

bench: setup  ## speed, side by side with the usual way of doing it
	$(PY) scripts/speed.py $(ARGS)

lint: setup  ## ruff
	$(VENV)/bin/ruff check . && $(VENV)/bin/ruff format --check .
