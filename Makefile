# Needs Python >= 3.11 and make. Everything else goes into .venv.
# PYTHON=/path/to/python3 chooses the interpreter that .venv is made from.

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?=
DEMO := demo_results

.PHONY: help setup demo test test-all lint type bench validate

help:
	@echo "make setup     make .venv and install the package with its development tools"
	@echo "make demo      analyse test_data/, results and plots in $(DEMO)/"
	@echo "make test      the fast test suite"
	@echo "make test-all  the long simulations, too"
	@echo "make lint      ruff: rules and format"
	@echo "make type      mypy, strict, on the package"
	@echo "make bench     measure times into scripts/bench/RESULTS.md, more than an hour; beside GEMMA,"
	@echo "               PLINK 2, BOLT-LMM, FaST-LMM (FASTLMM_PYTHON=its Python) where they are there;"
	@echo "               BENCH='--only a,g' some of the cases, BENCH=--help all options"
	@echo "make validate  compare with PLINK 2, GEMMA, FaST-LMM and GWAS-SSF where they are there"

# An interpreter that does not start, is too old or cannot make environments is passed over.
$(BIN)/python:
	@for candidate in $(PYTHON) python3.13 python3.12 python3.11 python3; do \
	  if "$$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' \
	      >/dev/null 2>&1; then \
	    echo "making $(VENV) with $$("$$candidate" --version)"; \
	    "$$candidate" -m venv --clear $(VENV) && exit 0; \
	    rm -rf $(VENV); exit 1; \
	  fi; \
	done; \
	echo "No Python 3.11 or newer that can make a virtual environment was found." >&2; \
	echo "Install one (Debian, Ubuntu: apt-get install python3 python3-venv), or name it:" >&2; \
	echo "  make PYTHON=/path/to/python3 ..." >&2; \
	exit 1

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	@echo "installing lmmgwas into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(BIN)/python
	@echo "installing lmmgwas and its development tools into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $(VENV)/.installed $@

setup: $(VENV)/.installed-dev

demo: $(VENV)/.installed
	@mkdir -p $(DEMO)
	$(BIN)/lmmgwas assoc --bfile test_data/study --pheno test_data/pheno.tsv \
	  --covar test_data/covar.tsv --genome-build GRCh38 --out $(DEMO)/study --overwrite
	@echo
	@echo "Results in $(DEMO)/, for the traits height and ldl:"
	@echo "  plots               $(DEMO)/study.height.manhattan.png   $(DEMO)/study.height.qq.png"
	@echo "                      $(DEMO)/study.ldl.manhattan.png      $(DEMO)/study.ldl.qq.png"
	@echo "                      (and .pdf of each)"
	@echo "  lead variants       $(DEMO)/study.height.leads.tsv       $(DEMO)/study.ldl.leads.tsv"
	@echo "  summary statistics  $(DEMO)/study.height.tsv.gz          $(DEMO)/study.ldl.tsv.gz"
	@echo "  null models         $(DEMO)/study.height.null.tsv        $(DEMO)/study.ldl.null.tsv"
	@echo "The causal variants that were simulated: test_data/truth.tsv"

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m "not slow"

test-all: $(VENV)/.installed-dev
	$(BIN)/python -m pytest

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

type: $(VENV)/.installed-dev
	$(BIN)/mypy

bench: $(VENV)/.installed
	$(BIN)/python scripts/bench/run.py $(BENCH)

validate: $(VENV)/.installed-dev
	$(BIN)/python scripts/validate/run.py
