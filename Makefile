# The two commands to know: `make run` and `make test`. Needs GNU make and Python 3.11 or later; no root, no compiler.
MAKEFLAGS += --no-print-directory
.DELETE_ON_ERROR:
# Or each of the suite's processes would compile all of it.
unexport PYTHONDONTWRITEBYTECODE
.DEFAULT_GOAL := help
.PHONY: help run test test-all checks stress coverage test-clients lint lock leak attack fuzz chaos screenshots bench bench-check clean

VENV ?= .venv
BIN := $(VENV)/bin
PYTHON := $(BIN)/python

# Named after what is in the file: neither a checkout's timestamps nor a change of branch can fool it.
stamp = $(VENV)/.installed-$(1)-$(shell cksum < requirements/$(1).txt | tr ' ' '-')
RUN_READY := $(call stamp,run)
DEV_READY := $(call stamp,dev)
BENCH_READY := $(call stamp,bench)
# Without npm its clients are left out.
NODE_READY := $(if $(shell command -v npm),clients/node_modules/.installed-$(shell cksum < clients/package-lock.json | tr ' ' '-'))
# A test waits for half of its time. Eight is as many as have ports of their own (config/testing/program.py).
JOBS ?= $(shell n=$$(nproc); echo $$((n < 4 ? 2 * n : 8)))
# Files in the order of testpaths, in which the long ones come first.
IN_PARALLEL = $(if $(filter-out 0 1,$(JOBS)),-n $(JOBS) --dist loadfile --no-loadscope-reorder)
# Up to three tests that failed are played once more, by themselves, and named as defects.
AGAIN = $(PYTHON) -m config.testing.again $$?
random_key = "$$($(PYTHON) -c 'import secrets; print(secrets.token_urlsafe(64))')"
PIP_INSTALL := $(PYTHON) -m pip --disable-pip-version-check install -qq --require-hashes --only-binary :all:

help: ## This list.
	@sed -n 's/^\([a-z-]*\):.*## /make \1\t/p' $(MAKEFILE_LIST) | expand -t 14

run: $(RUN_READY) ## Start the gateway with everything it needs, and print what to open.
	@exec $(PYTHON) -m config.dev

test: checks ## Install what is needed, then run every check, and every test that does not take long: five minutes on 2 cores.
	$(PYTHON) -m pytest --cache-clear -m 'not alone and not clients and not long' $(IN_PARALLEL) --durations=20 || $(AGAIN)
	@echo 'Left out: what takes long (make test-all), and the real clients (make test-clients).'

test-all: checks ## Every check, and every test but `test-clients`, in JOBS processes: half an hour on 2 cores.
	$(PYTHON) -m pytest -m alone
	$(PYTHON) -m pytest --cache-clear -m 'not alone and not clients' $(IN_PARALLEL) --durations=40 || $(AGAIN)
	@echo 'Left out: the real clients (make test-clients).'

checks: lint ## lint, and that no migration is missing, and nothing amiss with production settings.
	DJANGO_SETTINGS_MODULE=config.testing.settings $(PYTHON) manage.py makemigrations --check --dry-run
	env DEBUG=false SECRET_KEY=$(random_key) JWT_SIGNING_KEY=$(random_key) ALLOWED_HOSTS=gateway.example.org \
	  DATABASE_URL=postgres://gateway@postgres/gateway REDIS_URL=redis://valkey:6379/0 \
	  TRUSTED_PROXIES=10.0.0.1 METRICS_TOKEN=$(random_key) \
	  $(PYTHON) manage.py check --deploy --fail-level WARNING

stress: $(DEV_READY) ## Tests whose assertions are about time, TIMES (50) under load; TESTS='path …' for others.
	$(PYTHON) -m pytest -p config.testing.stress --times $(or $(TIMES),50) $(or $(TESTS),-m timing) -n $(JOBS) -q --tb=short --no-summary

coverage: $(DEV_READY) ## The same tests under coverage, server processes included.
	$(PYTHON) -m pytest $(IN_PARALLEL) --cov --cov-report=term

test-clients: $(DEV_READY) $(NODE_READY) ## Real clients of other makers, each on fresh gateways; says what it left out.
	$(PYTHON) -m pytest --cache-clear -m clients -n 2 --dist loadscope config/tests/clients || $(AGAIN)

lint: $(DEV_READY) ## ruff (lint, format), mypy, the import contract.
	$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --quiet --check .
	$(BIN)/mypy .
	$(BIN)/mypy --config-file clients/python/pyproject.toml clients/python/src
	$(BIN)/lint-imports --no-logo --no-cache

lock: $(DEV_READY) ## Compile requirements/*.in to hash-pinned .txt; UPGRADE=1 takes the newest releases.
	cd requirements && for name in base run otel dev bench; do \
	  "$(abspath $(BIN))/uv" pip compile --quiet --generate-hashes --no-emit-index-url --no-annotate \
	    --custom-compile-command 'make lock' --python-version 3.11 --python-platform x86_64-manylinux_2_28 \
	    $(if $(UPGRADE),--upgrade) --output-file $$name.txt $$name.in || exit 1; \
	done

leak: $(DEV_READY) ## 20,000 connects and closes: the server's memory stays where it was.
	$(PYTHON) -m proxy.server.tests.test_leaks --connections 20000

attack: $(DEV_READY) ## Try what docs/security.md lists, and write its tables; TIMES=10 for ten times each.
	$(PYTHON) -m config.attack $(if $(TIMES),--times $(TIMES))

fuzz: $(DEV_READY) ## One minute of random frames against the frame scanner.
	$(PYTHON) -m proxy.core.wire.tests.fuzz_frames --seconds 60

chaos: $(DEV_READY) ## Some 6 minutes: 300 clients, and each part of what a team runs killed and frozen in turn.
	$(PYTHON) -m config.testing.chaos

screenshots: $(DEV_READY) ## The pictures of docs/images/, of two nodes with clients and staff at them; needs Debian's chromium.
	$(PYTHON) -m config.tests.clients.screenshots

bench: $(BENCH_READY) ## Measure against other proxies; writes bench/results/. STAGE=sessions,… some of it, PROFILE=full more.
	$(PYTHON) -m bench $(if $(PROFILE),--profile $(PROFILE)) $(if $(STAGE),--stage $(STAGE))

bench-check: $(DEV_READY) $(BENCH_READY) ## That every comparator of `make bench` still starts and carries messages.
	$(PYTHON) -m pytest bench

clean: ## Remove what the other targets made, the development database included.
	rm -rf .venv var clients/node_modules .coverage .coverage.* htmlcov .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.created:
	@for python in python3.11 python3 python; do \
	  if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found=$$python; break; fi; \
	done; \
	if [ -z "$$found" ]; then echo 'Sluicegate needs Python 3.11 or later: none of python3.11, python3, python is.' >&2; exit 1; fi; \
	if ! $$found -c 'import ensurepip, venv' 2>/dev/null; then \
	  echo "$$found cannot make virtual environments: install its venv package (Debian: python3.11-venv)." >&2; exit 1; fi; \
	echo "Making $(VENV) with $$($$found --version)"; \
	$$found -m venv $(VENV) && touch $@

clients/node_modules/.installed-%:
	@echo 'Installing clients/package-lock.json (once)'; \
	if cd clients && npm ci --ignore-scripts --no-audit --no-fund --loglevel error; then touch $(abspath $@); \
	else echo 'npm could not; its clients will be left out.' >&2; fi

$(VENV)/.installed-%: $(VENV)/.created
	@name=$(firstword $(subst -, ,$*)); \
	echo "Installing requirements/$$name.txt into $(VENV) (once; takes a minute)"; \
	$(PIP_INSTALL) -r requirements/$$name.txt; \
	rm -f $(VENV)/.installed-$$name-*; touch $@
