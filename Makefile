# Two commands do everything on a fresh machine with Python 3.11 or newer and make:
#   make demo    builds the shop for all three targets and runs each function in the vendor's runtime
#   make test    passes the tests
# The first that runs: a version manager's shim may be there without its version.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
  $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
TARGETS := aws azure gcp
FUNCTIONS := $(basename $(notdir $(wildcard examples/shop/events/*.json)))
# SHA-256 of the demo's key; a manifest and a package never hold a key or a digest.
DEMO_KEY := PORTAFAAS_HTTP_KEYS=demo=c48a01f49fd0f2cc404bc3cbbc80e91457a3d41bb429a695243de4c61794155c

# Commands are started hundreds of times: without it each would compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test lint setup clean

demo: .venv/.installed
	cd examples/shop && ../../$(BIN)/portafaas build --target all
	cd examples/shop && printf demo-secret | ../../$(BIN)/portafaas secrets set payment-key
	@set -e; cd examples/shop; for target in $(TARGETS); do for name in $(FUNCTIONS); do \
	  echo; echo "== $$name on $$target"; \
	  ../../$(BIN)/portafaas invoke $$name --event events/$$name.json --target $$target --env $(DEMO_KEY); \
	done; done

test: lint .venv/.npm
	$(BIN)/pytest -n 4 --no-loadscope-reorder

lint: .venv/.dev
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

setup: .venv/.dev .venv/.npm

.venv/.installed: pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; set PYTHON=" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv>=0.7"
	$(BIN)/uv pip install --quiet --python $(BIN)/python -e .
	touch $@

.venv/.dev: .venv/.installed requirements/dev.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements/dev.txt -e .
	touch $@

# Servers that stand in for Azure's storage and database. They are not had everywhere: what needs
# them is skipped then, and it is tried again the next time.
.venv/.npm: $(wildcard requirements/npm/*.json) | .venv/.installed
	@mkdir -p .venv/npm && cp requirements/npm/*.json requirements/npm/.npmrc .venv/npm
	@if ! command -v npm >/dev/null; then \
	  echo "npm is not installed: tests of Azurite and of the Cosmos DB server are skipped"; \
	elif npm ci --silent --no-progress --prefix .venv/npm; then touch $@; \
	else echo "npm has failed: tests of Azurite and of the Cosmos DB server are skipped"; fi

clean:
	rm -rf .venv out examples/*/out examples/*/.portafaas dist
