# All it needs is make and Python 3.11 or newer: everything else is installed into .venv.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo run fast test long check image-test hostile chaos mutants fuzz bench test-ray lint types imports browser \
    prometheus format lock clean

# The candidates, in order; `make demo PYTHON=/path/to/python3` names your own.
PYTHON ?= python3.11 python3.12 python3.13 python3.14 python3
PORT ?= 8000

# What is imported is compiled once: hundreds of processes start in the tests, and each would compile it again.
unexport PYTHONDONTWRITEBYTECODE

VENV := .venv
PY := $(VENV)/bin/python
RUNTIME := $(VENV)/requirements.installed
DEV := $(VENV)/dev.installed
BENCH := $(VENV)/bench.installed
RAY := $(VENV)/ray.installed
ENTRY_POINT := $(VENV)/bin/headrace

help: ## This list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1@\2/p' Makefile | \
	    while IFS=@ read -r name text; do printf '  make %-10s %s\n' "$$name" "$$text"; done

demo: $(RUNTIME) ## Start the whole system, run real jobs, stop (KEEP=1: watch one in the dashboard)
	@$(PY) -m app demo $(if $(KEEP),--keep)

run: $(RUNTIME) ## Serve the whole system on port 8000 (PORT=…) until Ctrl+C
	@$(PY) -m app dev --port $(PORT)

# Many tests wait for another process or for time to pass: three at once fill two cores.
PYTEST := -m pytest -n 3 --dist worksteal -rsfE

fast: $(DEV) ## Run the tests that need no server (about a minute; ARGS='-k quota' chooses)
	@$(PY) $(PYTEST) -m fast $(ARGS)

test: $(DEV) ## Run the tests for everyday use (about 6 minutes on two cores)
	@$(PY) $(PYTEST) -m 'not long' $(ARGS)

long: $(DEV) ## Run the rest: whole systems, faults, the browser, drills, many inputs, the largest (about 40 minutes)
	@$(PY) $(PYTEST) -m long $(ARGS)

# A sixteenth of the mutants, another one for each commit: `make mutants` runs them all. The tests run last, so that
# their summary closes the log, and also after a mutant survived. They are also what shows that the tests of the
# mutants pass without a mutant.
check: lint types imports ## Run what CI runs: lint, types, imports, some mutants, the everyday tests, and those that prove a guarantee (about 40 minutes on two cores)
	@$(PY) -m tests.mutants --no-baseline --share 16; mutants=$$?; \
	    $(PY) $(PYTEST) -m 'not thorough and not huge and not drill' $(ARGS); \
	    exit $$((mutants | $$?))

# As root on Debian it installs the programs that it needs, as `make browser` does.
image-test: $(DEV) ## Build the image without a network, and run it as Kubernetes does (minutes; needs root)
	@if ! { command -v buildah && command -v mmdebstrap; } >/dev/null && \
	    [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq && \
	    DEBIAN_FRONTEND=noninteractive apt-get install -yqq --no-install-recommends buildah mmdebstrap >/dev/null; \
	fi
	@$(PY) -m pytest -rs -m image tests/image $(ARGS)

test-ray: $(DEV) $(RAY) ## Run the Ray engine with Ray, in a network of its own (minutes; installs Ray)
	@$(PY) -m tests.ray.alone $(PY) -m pytest -rsf -m ray tests/ray $(ARGS)

hostile: $(DEV) ## Run the tests just after boot, in random order, under load, elsewhere (SEED=…, BUSY=2)
	@SEED='$(SEED)' BUSY='$(BUSY)' $(PY) -m tests.hostile $(ARGS)

chaos: $(DEV) ## Break everything while it works (SEED=… MINUTES=1 WORKERS=3), and look for damage
	@SEED='$(SEED)' MINUTES='$(MINUTES)' WORKERS='$(WORKERS)' RATE='$(RATE)' $(PY) -m tests.chaos

mutants: $(DEV) ## Take each guard of the source away, and see that a test notices (about 25 minutes on two cores)
	@$(PY) -m tests.mutants $(ARGS)

fuzz: $(DEV) ## Mutate model files field by field, and see that none harms a child (SEED=… MUTANTS=250 of each)
	@SEED='$(SEED)' MUTANTS='$(MUTANTS)' $(PY) -m tests.fuzz $(ARGS)

bench: $(BENCH) ## Measure everything and write docs/performance.md (ARGS='streams --quick' chooses)
	@$(PY) -m bench $(ARGS)

lint: $(DEV) ## Check style and formatting
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .

types: $(DEV) ## Check the types, strictly
	@$(PY) -m mypy

imports: $(DEV) ## Check who imports whom
	@$(VENV)/bin/lint-imports --no-logo

browser: ## Install Chromium, which the tests of the page need
	@for name in chromium chromium-browser google-chrome; do \
	    command -v "$$name" >/dev/null && exit 0; \
	done; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq && \
	    DEBIAN_FRONTEND=noninteractive apt-get install -yqq --no-install-recommends chromium >/dev/null; \
	else \
	    echo 'Install Chromium, so that it is on your PATH as chromium (on Debian: apt install chromium).' >&2; \
	    exit 1; \
	fi

# Debian's packages, unpacked and not installed, so that no service starts. Needs $(PY) because making that empties
# $(VENV). The package lists are updated only if they are too old to download with.
PROMETHEUS := $(VENV)/prometheus
DOWNLOAD := apt-get download -qq -o APT::Sandbox::User=root prometheus prometheus-alertmanager

prometheus: $(PY) ## Download Prometheus and Alertmanager, which the tests of the alerts need
	@[ ! -x $(PROMETHEUS)/bin/promtool ] || exit 0; \
	if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then \
	    echo 'Install Prometheus and Alertmanager, so that prometheus, promtool and alertmanager are on your PATH.' >&2; \
	    exit 1; \
	fi; \
	set -e; \
	rm -rf $(PROMETHEUS); mkdir -p $(PROMETHEUS)/unpacked; cd $(PROMETHEUS); \
	$(DOWNLOAD) 2>/dev/null || { apt-get update -qq && $(DOWNLOAD); }; \
	for package in *.deb; do dpkg-deb --extract "$$package" unpacked; done; \
	mv unpacked/usr/bin bin; rm -r unpacked *.deb

format: $(DEV) ## Put the code in order
	@$(PY) -m ruff check --fix-only .
	@$(PY) -m ruff format .

COMPILE = $(PY) -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
    --no-emit-index-url --custom-compile-command 'make lock' $(UPGRADE) pyproject.toml

lock: $(DEV) ## Pin the dependencies again (UPGRADE=--upgrade: at their newest)
	$(COMPILE) --extra ml --extra embedded --output-file requirements/requirements.txt
	$(COMPILE) --extra ml --extra otel --constraint requirements/requirements.txt --output-file requirements/runtime.txt
	$(COMPILE) --extra ml --extra embedded --extra otel --extra dev --constraint requirements/requirements.txt \
	    --output-file requirements/dev.txt
	$(COMPILE) --extra ml --extra embedded --extra bench --constraint requirements/requirements.txt \
	    --output-file requirements/bench.txt
	$(COMPILE) --extra ml --extra otel --extra ray --constraint requirements/dev.txt --output-file requirements/ray.txt

clean: ## Remove .venv and every cache (the data in .data/ stays)
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A dangling .venv/bin/python (its Python was removed, or the folder was moved here) is made anew too.
$(PY):
	@for python in $(PYTHON); do \
	    "$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
	    exec "$$python" -m venv --clear $(VENV); \
	done; \
	echo 'Headrace needs Python 3.11 or newer with venv (on Debian and Ubuntu: apt install python3-venv).' >&2; \
	echo 'If it is not on your PATH, say where it is: make PYTHON=/path/to/python3 ...' >&2; \
	exit 1

# The command line, from any folder: this one comes first on the path, and the current one is not on it, where another
# package may be called app. Written here and not by pip: that would need a build backend, which a virtual environment
# of Python 3.12 or newer does not have.
define ENTRY_POINT_SCRIPT
#!/bin/sh
export PYTHONPATH='$(subst ','\'',$(CURDIR))'"$${PYTHONPATH:+:$$PYTHONPATH}" PYTHONSAFEPATH=1
exec '$(subst ','\'',$(abspath $(PY)))' -m app "$$@"
endef
export ENTRY_POINT_SCRIPT

$(ENTRY_POINT): Makefile $(PY)
	@printf '%s\n' "$$ENTRY_POINT_SCRIPT" > $@
	@chmod +x $@

# The lock names every package, so pip need not resolve (--no-deps saves it a third of the time), and what is
# never imported need not be compiled (--no-compile saves another). A new entry point does not install anything again.
$(VENV)/%.installed: requirements/%.txt $(PY) | $(ENTRY_POINT)
	@echo 'Installing requirements/$*.txt into $(VENV): up to a minute, once.'
	@PIP_ROOT_USER_ACTION=ignore $(PY) -m pip install -qq --disable-pip-version-check --no-input \
	    --require-hashes --no-deps --no-compile -r $<
	@touch $@
