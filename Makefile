.PHONY: demo quick test check style lock newest lowest

PYTHON ?= python3
BIN := .venv/bin

demo: .venv/.demo
	$(BIN)/giqa demo

quick: .venv/.dev
	$(BIN)/pytest -m "not slow" --numprocesses auto --maxprocesses 4 --dist worksteal

test: .venv/.dev .venv-lmms/.ready
	$(BIN)/pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

check: .venv/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

style: .venv/.dev
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# requirements.lock holds every version that was tested; pip is among them
LOCKED := --quiet --constraint requirements.lock
TORCH := $(shell sed -n 's/^torch==//p' requirements.lock)

# torch first, as its CPU build: from a configured index, else from torch's own, which has not all that
# torch needs in the locked versions: hence beside PyPI. A torch of that version that is there stays.
.venv/.torch: requirements.lock
	$(PYTHON) -m venv .venv
	$(BIN)/pip install $(LOCKED) --upgrade pip
	$(BIN)/python -c "import torch" 2>/dev/null \
	  || $(BIN)/pip install $(LOCKED) torch==$(TORCH)+cpu 2>/dev/null \
	  || $(BIN)/pip install $(LOCKED) torch==$(TORCH) --extra-index-url https://download.pytorch.org/whl/cpu
	touch $@

.venv/.demo .venv/.dev: .venv/.%: .venv/.torch pyproject.toml
	$(BIN)/pip install $(LOCKED) --build-constraint requirements.lock --editable ".[$*]"
	touch $@

# lmms-eval in an environment of its own, which sees .venv's packages: the torchvision it asks for breaks torch's CPU build
LMMS := lmms-eval loguru tenacity pytablewriter chardet DataProperty mbstrdecoder pathvalidate tabledata tcolorpy typepy
.venv-lmms/.ready: .venv/.dev
	$(BIN)/python -m venv --clear --without-pip .venv-lmms
	$(BIN)/python -c 'import site; print("import site; site.addsitedir(%r)" % site.getsitepackages()[0])' \
	  > "$$(.venv-lmms/bin/python -c 'import site; print(site.getsitepackages()[0])')/main.pth"
	$(BIN)/pip --python .venv-lmms/bin/python install $(LOCKED) --no-deps $(LMMS)
	touch $@

# The newest versions that pyproject.toml allows, one of each for every platform and Python; then run the tests.
# lmms-eval is named without what it needs; it imports a module that filelock 4.3 no longer has. CUDA's are torch's business.
lock: .venv/.dev
	printf '%s\n' pip hatchling editables "torch==$(TORCH)" "filelock<4.3" "pytablewriter>=1.2" $(filter-out lmms-eval,$(LMMS)) \
	  | $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest --extra dev \
	    --strip-extras --no-annotate --no-header --output-file requirements.new pyproject.toml -
	(echo "# Versions of demo, tests and lmms-eval, written by make lock on $$(date -u +%F)"; \
	  grep -vE '^(cuda|nvidia|triton)' requirements.new; echo "lmms-eval==0.7.3") > requirements.lock
	rm requirements.new

# The tests with the newest or the lowest versions that pyproject.toml allows, in an environment apart; says what broke them
newest lowest: .venv/.dev
	$(BIN)/python .ci/versions $@
