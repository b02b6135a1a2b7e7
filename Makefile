# `make run` and `make test` each work as the first command after cloning.
# Paths are relative throughout: make cannot cope with a space in the checkout's own.

PY := .venv/bin/python
ARGS ?=
.PHONY: run test bench screenshots lint check clean

run: ## the whole desk on http://127.0.0.1:4000; PORT=… another port, ONCE=1 one picture and out
	@.ci/venv
	@exec $(PY) -m config.embedded.launcher --with-parent

test: ## the whole suite; ARGS='tests/credits -x' a part of it
	@.ci/venv dev
	@.ci/browser
	@exec $(PY) -m pytest $(or $(ARGS),-n auto --maxprocesses 4 --dist loadscope --no-loadscope-reorder)

bench: ## the promised figures, beside their limits
	@.ci/venv dev
	@exec $(PY) -m bench $(ARGS)

screenshots: ## docs/screenshots anew, of a desk of its own; ONLY=desk,queue some pages
	@.ci/venv dev
	@.ci/browser
	@exec $(PY) -m tests.screenshots

lint: ## format and mend what can be mended
	@.ci/venv dev
	@$(PY) -m ruff format .
	@$(PY) -m ruff check --fix .

check: ## everything that has to hold before a commit, but the tests
	@.ci/venv dev
	@.ci/check

clean: ## forget the virtual environment, caches and, for an ordinary user, the desk's data
	@rm -rf .venv .atelier .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache staticfiles
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
