# Everything sets up what it needs: Python 3.11 or later is all that has to be there.

PYTHON_IN_VENV := .venv/bin/python
EMBEDDED := $(PYTHON_IN_VENV) -m marketplace.embedded
SOURCES := marketplace orders inventory payments fulfillment
WORKERS ?= logical
SHOPS ?= 3
N ?= 5000
ROUNDS ?= 1
STORIES ?= 200

.DEFAULT_GOAL := help
.PHONY: help venv run test crash bench lint format lock translations clean

help: ## Say what there is
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

venv: ## Make .venv, and bring it up to date with requirements.txt
	@sh marketplace/embedded/venv.sh

run: venv ## Run the whole shop; PORT=8100 DATA_DIR=var2 for a second one
	@exec $(EMBEDDED) run

# Tests that drive a browser or whole processes come after the others, because those keep the cores busy; these mostly
# wait, so they run side by side too, but for those of one file, which share a shop. The two kinds don't mix: where there
# has been a browser, its event loop stays, and Django refuses to be used beside one.
test: venv lint ## Check and test everything (WORKERS=4: how many tests at once; SHOPS=2: how many whole shops)
	@.ci/chromium
	@$(EMBEDDED) exec -- $(PYTHON_IN_VENV) -m pytest --numprocesses $(WORKERS) --maxprocesses 8 -m "not e2e and not chaos"
	@$(EMBEDDED) exec -- $(PYTHON_IN_VENV) -m pytest --numprocesses $(SHOPS) --dist loadfile -m e2e
	@$(EMBEDDED) exec -- $(PYTHON_IN_VENV) -m pytest --numprocesses $(SHOPS) --dist loadfile -m chaos

crash: venv ## Kill workers at every seam of every saga; then live through any stories (STORIES=1000)
	@CRASH_MATRIX=whole STATEFUL_EXAMPLES=$(STORIES) $(EMBEDDED) exec -- $(PYTHON_IN_VENV) -m pytest \
		--numprocesses $(WORKERS) --maxprocesses 8 tests/crash tests/stateful

# The peer is no part of the project, so it is installed only here; without it the table says so.
bench: venv ## Measure how fast it is (N=20000: orders to drain; ROUNDS=3: how often)
	@$(PYTHON_IN_VENV) -c "import dbos" 2>/dev/null || $(PYTHON_IN_VENV) -m pip install --quiet \
		--disable-pip-version-check --no-input "dbos>=2" || echo "DBOS can't be installed; measuring without it."
	@$(PYTHON_IN_VENV) -m benchmarks --n $(N) --rounds $(ROUNDS)

lint: venv ## ruff, mypy, import-linter, bandit
	$(PYTHON_IN_VENV) -m ruff check .
	$(PYTHON_IN_VENV) -m ruff format --check .
	$(PYTHON_IN_VENV) -m mypy $(SOURCES)
	.venv/bin/lint-imports --no-logo
	$(PYTHON_IN_VENV) -m bandit --quiet --configfile pyproject.toml --severity-level medium --recursive $(SOURCES)

format: venv ## Let ruff set the code
	$(PYTHON_IN_VENV) -m ruff check --fix-only .
	$(PYTHON_IN_VENV) -m ruff format .

lock: venv ## Write requirements.txt anew from pyproject.toml, keeping the versions that still fit
	UV_CUSTOM_COMPILE_COMMAND="make lock" $(PYTHON_IN_VENV) -m uv pip compile --quiet --universal --python-version 3.11 \
		--no-emit-index-url --extra dev --extra stripe --extra paypal --extra easypost --output-file requirements.txt pyproject.toml

translations: venv ## Find the texts to translate, and compile the translations (needs GNU gettext; running does not)
	$(PYTHON_IN_VENV) manage.py makemessages --locale de --no-obsolete --add-location file --no-wrap \
		--ignore .venv --ignore "tests*" --ignore benchmarks
	msgfmt --check --no-hash -o marketplace/locale/de/LC_MESSAGES/django.mo marketplace/locale/de/LC_MESSAGES/django.po

clean: ## Remove what tools left behind; data in var/ and the venv stay
	rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis test-results
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
