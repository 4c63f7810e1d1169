# make demo   the main job: train, export, verify, caption a clip, measure; results in demo/
# make test   checks and tests
# make clean  removes what the two above made
# Each sets up .venv on its first run. Another Python: make PYTHON=python3.12 demo

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

.PHONY: demo test clean
.DELETE_ON_ERROR:

demo: $(VENV)/installed
	$(BIN)/edgedl demo --out demo --force

test: $(VENV)/installed
	PATH="$(CURDIR)/$(BIN):$$PATH" tools/check
	PATH="$(CURDIR)/$(BIN):$$PATH" tools/test

$(VENV)/installed: pyproject.toml constraints.txt CMakeLists.txt $(shell find csrc -type f)
	tools/setup "$(PYTHON)" "$(VENV)"
	@touch $@

clean:
	rm -rf $(VENV) build demo .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
