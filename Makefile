# Targets build .venv once, and again when the pins or pyproject.toml change; those that test or lint
# add what only they need.

# Found before .venv is on the path: a broken one must not be asked to mend itself.
ifndef PYTHON
PYTHON := $(or $(shell command -v python3),python3)
endif
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TOOLS := $(VENV)/.tools-installed
CORES ?= 2
ARCHIVE ?= study.tar.gz
# snakefmt looks for shfmt, and jobs for python, on the path.
export PATH := $(abspath $(BIN)):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help install demo results shipped trial test test-all test-slurm fuzz kills lint format bench lpips-weights tensorboard archive clean

help: ## Show the targets
	@grep -hE '^[a-z-]+:.*## ' "$(strip $(MAKEFILE_LIST))" | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

install: $(STAMP) ## Build the environment in .venv, without the tools of tests and linters

$(STAMP): envs/requirements.lock pyproject.toml
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "This project needs Python 3.11 or newer, but '$(PYTHON)' is missing or older." >&2; \
		echo "Install Python 3.11 (Debian: apt install python3 python3-venv) and name it: make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; \
		exit 1; }
	@"$(PYTHON)" -c 'import venv, ensurepip' 2>/dev/null || { \
		echo "'$(PYTHON)' has no venv module. Install it (Debian: apt install python3-venv) and run make again." >&2; \
		exit 1; }
	"$(PYTHON)" -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --requirement envs/requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(TOOLS): $(STAMP) envs/requirements-dev.lock
	$(BIN)/python -m pip install --quiet --requirement envs/requirements-dev.lock
	@touch $@

demo: $(STAMP) ## Run the whole pipeline on the embedded data set (about 10 minutes on 2 cores)
	$(BIN)/snakemake --cores $(CORES)
	@$(BIN)/python -m ocvp.show_results --brief

results: $(STAMP) ## Make docs/results.md anew: three seeds with boxes and without (about 2 hours on 2 cores)
	$(BIN)/snakemake --cores $(CORES) --configfile config/tabletop_boxes.yaml \
		config/tabletop_unconditional.yaml config/studies/results.yaml
	$(BIN)/python showcase/results_page.py --cores $(CORES)

shipped: $(STAMP) ## Make models/ and the opening of the README anew, of the finished demo (OPTIONS=--help)
	$(BIN)/python showcase/trained_pair.py
	$(BIN)/python showcase/readme.py $(OPTIONS)

trial: $(STAMP) ## Run docs/own_videos.md on films made for it (about 30 minutes on 2 cores)
	$(BIN)/python tests/helpers/trial.py

test: $(TOOLS) ## Run the tests, in about 5 minutes on 2 cores
	$(BIN)/python -m pytest -n $(CORES) --dist loadfile -m "not slow"

test-all: $(TOOLS) ## Run the slow tests too, as CI does
	$(BIN)/python -m pytest -n $(CORES) --dist loadfile

TRIES ?= 1000
KILLS ?= 100
SEED ?= 0
fuzz: $(STAMP) ## Try damaged configs and files (TRIES=1000 SEED=0; about 10 minutes)
	$(BIN)/python tests/fuzz/fuzz.py --tries $(TRIES) --seed $(SEED)

kills: $(STAMP) ## Kill small trainings at random, and compare bits (KILLS=100 SEED=0; about 10 minutes)
	$(BIN)/python tests/fuzz/kills.py --kills $(KILLS) --seed $(SEED)

# All its tests at once: they mostly wait.
test-slurm: $(TOOLS) ## Run the workflow on a Slurm of its own (as root, on Debian, about 4 minutes)
	$(BIN)/python tests/slurm/one_machine.py $(BIN)/python -m pytest -n 5 tests/slurm

lint: $(TOOLS) ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint

format: $(TOOLS) ## Format all code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile workflow

bench: $(STAMP) ## Measure how fast models train, against the plain formulation (OPTIONS=--help; see docs/performance.md)
	$(BIN)/python benchmarks/training_speed.py $(OPTIONS)

lpips-weights: $(STAMP) ## Download the weights that LPIPS needs (0.8 GB), for those with a network
	@$(BIN)/python -m ocvp.lpips_weights

tensorboard: $(STAMP) ## Watch the trainings in the browser (options: make tensorboard OPTIONS="--port 6007")
	@$(BIN)/python -m ocvp.watch $(OPTIONS)

archive: $(STAMP) ## Pack the finished study into one file (ARCHIVE=study.tar.gz)
	@$(BIN)/python -m ocvp.archive --output "$(ARCHIVE)"

# Where results or logs are links themselves, -H goes into them. A link within is deleted where it
# leads to a file, which stays; one that leads to a folder is not followed.
clean: ## Delete products and logs; spare what trainings resume from
	find -H results \( -type f -o -type l ! -exec test -d {} ';' \) ! -name README.md \
		! -path '*/resume*/*' ! -name '*.lock' ! -path '*/tensorboard/*' -delete
	find -H results -mindepth 1 -type d -empty -delete
	if [ -d logs ]; then find -H logs -mindepth 1 -delete; fi
	@find -H results -type l ! -path '*/resume*/*' ! -path '*/tensorboard/*' \
		-exec echo "not cleaned, since it is a link: {}" ';'
