# Needs Python >= 3.11 and make. Everything else goes into .venv.
# PYTHON=/path/to/python3 chooses the interpreter that .venv is made from.

VENV := .venv
BIN := $(VENV)/bin
TOOLS := .venv-tools
PYTHON ?=
DEMO := demo_results
DOCS := build/docs

.PHONY: help setup demo docs man doc-pictures test test-all faults fuzz coverage lint type bench \
  validate lock audit dist house

help:
	@echo "make setup     make .venv and install the package with its development tools, by the lock"
	@echo "make demo      analyse test_data/, results and plots in $(DEMO)/"
	@echo "make docs      the documentation, in $(DOCS)/html, every warning an error"
	@echo "make man       man pages of all commands, in $(DOCS)/man"
	@echo "make doc-pictures  draw the pictures in docs/ again"
	@echo "make test      the fast test suite"
	@echo "make test-all  the long simulations, too"
	@echo "make faults    kill runs at every point, fail each of their system calls, fill disks; strace"
	@echo "               for the second of these, an hour or more"
	@echo "make fuzz      a million spoilt files for the readers; FUZZ='--executions N' fewer or more"
	@echo "make coverage  the fast tests, and those of the kernels as plain Python; a table, and failure"
	@echo "               below the targets"
	@echo "make lint      ruff: rules and format"
	@echo "make type      mypy, strict, on the package"
	@echo "make bench     measure times into scripts/bench/RESULTS.md, more than an hour; beside GEMMA,"
	@echo "               PLINK 2, BOLT-LMM, FaST-LMM (FASTLMM_PYTHON=its Python) where they are there;"
	@echo "               BENCH='--only a,g' some of the cases, BENCH=--help all options"
	@echo "make validate  compare with PLINK 2, GEMMA, FaST-LMM and GWAS-SSF where they are there"
	@echo "make dist      wheel and sdist into dist/, each tried in a clean environment with every"
	@echo "               Python that is there (needs a package index)"
	@echo "make house     draw docs/house.svg again, from the imports"
	@echo "make lock      write requirements/*.txt again; UPGRADE=--upgrade takes newer versions"
	@echo "make audit     look for known vulnerabilities of the locked versions (needs the network)"

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

# Every file that is installed is known by its hash: of all platforms, Python 3.11 to 3.13. A newer
# Python may need versions that are newer than the lock; it takes what there is.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
LOCKED := $(BIN)/python -c 'import sys; sys.exit(sys.version_info >= (3, 14))'

$(VENV)/.installed: pyproject.toml requirements/run.txt | $(BIN)/python
	@echo "installing lmmgwas into $(VENV)"
	@if $(LOCKED); then \
	  $(PIP) --require-hashes --requirement requirements/run.txt && \
	  $(PIP) --no-deps --no-build-isolation --editable .; \
	else \
	  $(PIP) --editable '.[report]'; \
	fi
	@touch $@

$(VENV)/.installed-dev: pyproject.toml requirements/ci.txt | $(BIN)/python
	@echo "installing lmmgwas and its development tools into $(VENV)"
	@if $(LOCKED); then \
	  $(PIP) --require-hashes --requirement requirements/ci.txt && \
	  $(PIP) --no-deps --no-build-isolation --editable .; \
	else \
	  $(PIP) --editable '.[dev]'; \
	fi
	@touch $(VENV)/.installed $@

setup: $(VENV)/.installed-dev

demo: $(VENV)/.installed
	@mkdir -p $(DEMO)
	$(BIN)/lmmgwas assoc --bfile test_data/study --pheno test_data/pheno.tsv \
	  --covar test_data/covar.tsv --genome-build GRCh38 --out $(DEMO)/study --overwrite
	@echo
	@echo "Results in $(DEMO)/, for the traits height and ldl:"
	@echo "  report              $(DEMO)/study.report.html (open it in a browser)"
	@echo "  plots               $(DEMO)/study.height.manhattan.png   $(DEMO)/study.height.qq.png"
	@echo "                      $(DEMO)/study.ldl.manhattan.png      $(DEMO)/study.ldl.qq.png"
	@echo "                      (and .pdf of each)"
	@echo "  lead variants       $(DEMO)/study.height.leads.tsv       $(DEMO)/study.ldl.leads.tsv"
	@echo "  summary statistics  $(DEMO)/study.height.tsv.gz          $(DEMO)/study.ldl.tsv.gz"
	@echo "  null models         $(DEMO)/study.height.null.tsv        $(DEMO)/study.ldl.null.tsv"
	@echo "The causal variants that were simulated: test_data/truth.tsv"

SPHINX = $(BIN)/python -m sphinx -W -n --keep-going -q -d $(DOCS)/trees

docs: $(VENV)/.installed-dev
	$(SPHINX) -b html docs $(DOCS)/html
	@echo "open $(DOCS)/html/index.html"

man: $(VENV)/.installed-dev
	$(SPHINX) -b man docs $(DOCS)/man

doc-pictures: $(VENV)/.installed-dev
	$(BIN)/python scripts/make_doc_pictures.py

test: $(VENV)/.installed-dev
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow and not faults"

test-all: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m "not faults"

faults: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m faults tests/faults

fuzz: $(VENV)/.installed-dev
	$(BIN)/python scripts/fuzz/run.py --record $(FUZZ)

coverage: $(VENV)/.installed-dev
	$(BIN)/python scripts/coverage.py

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

type: $(VENV)/.installed-dev
	$(BIN)/mypy

bench: $(VENV)/.installed
	$(BIN)/python scripts/bench/run.py $(BENCH)

validate: $(VENV)/.installed-dev
	$(BIN)/python scripts/validate/run.py

$(TOOLS)/.installed: | $(BIN)/python
	@$(BIN)/python -m venv --clear $(TOOLS)
	@$(TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check uv pip-audit
	@touch $@

dist: $(VENV)/.installed-dev
	$(BIN)/python scripts/check_install.py --python $(BIN)/python --python python3.11 \
	  --python python3.12 --python python3.13

house: | $(BIN)/python
	$(BIN)/python scripts/draw_house.py

# No host is written into the locks: where packages come from is the business of who installs them.
LOCK = $(TOOLS)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
  --custom-compile-command "make lock" $(UPGRADE) pyproject.toml requirements/build.in

lock: $(TOOLS)/.installed
	$(LOCK) --extra dev --output-file requirements/ci.txt
	$(LOCK) --extra report --constraint requirements/ci.txt --output-file requirements/run.txt

# --strict: what could not be looked up counts as a failure, not as sound.
audit: $(TOOLS)/.installed
	$(TOOLS)/bin/pip-audit --strict --disable-pip --require-hashes --progress-spinner off \
	  --requirement requirements/ci.txt
