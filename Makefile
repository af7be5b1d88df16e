.PHONY: demo test check style

PYTHON ?= python3
BIN := .venv/bin

demo: .venv/.demo
	$(BIN)/giqa demo

test: .venv/.dev .venv-lmms/.ready
	$(BIN)/pytest --numprocesses auto --maxprocesses 4 --dist loadfile

check: .venv/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

style: .venv/.dev
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# torch first, as its CPU build: from a configured index, else from torch's own. A torch that is there stays.
.venv/.torch:
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/python -c "import torch" 2>/dev/null \
	  || $(BIN)/pip install --quiet torch==2.13.0+cpu 2>/dev/null \
	  || $(BIN)/pip install torch --index-url https://download.pytorch.org/whl/cpu
	touch $@

.venv/.demo .venv/.dev: .venv/.%: .venv/.torch pyproject.toml
	$(BIN)/pip install --quiet --editable ".[$*]"
	touch $@

# lmms-eval in an environment of its own, which sees .venv's packages: the torchvision it asks for breaks torch's CPU build
LMMS := lmms-eval==0.7.3 loguru tenacity pytablewriter chardet DataProperty mbstrdecoder pathvalidate tabledata tcolorpy typepy
.venv-lmms/.ready: .venv/.dev
	$(BIN)/python -m venv --clear --without-pip .venv-lmms
	$(BIN)/python -c 'import site; print("import site; site.addsitedir(%r)" % site.getsitepackages()[0])' \
	  > "$$(.venv-lmms/bin/python -c 'import site; print(site.getsitepackages()[0])')/main.pth"
	$(BIN)/pip --python .venv-lmms/bin/python install --quiet --no-deps $(LMMS)
	touch $@
