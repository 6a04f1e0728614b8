# Everything a person does with this repository. Only make and Python 3.11 or later are assumed to be there;
# `make install` gets the rest into .venv, with the versions and hashes of uv.lock.

.DEFAULT_GOAL := help
.PHONY: help install run status test check coverage properties bench simulate forgeries tampering kills mutants contracts watching supply tools clean
SHELL := /bin/sh

PYTHON ?= python3
# The tool that reads uv.lock; this version is fetched with pip when there is none on the path.
UV_VERSION := 0.13.8
TOOLS := .tollgate-tools
UV := $(or $(shell command -v uv 2>/dev/null),$(TOOLS)/bin/uv)
ifeq ($(UV),$(TOOLS)/bin/uv)
# A machine without uv has a Python, and that is the one to use rather than fetch another.
export UV_PYTHON := $(PYTHON)
endif
BIN := .venv/bin
PACKAGES := $(patsubst %/,%,$(dir $(wildcard libs/*/src/*/__init__.py services/*/src/*/__init__.py)))
# Nobody has to activate anything, and no other project's environment is taken for ours.
unexport VIRTUAL_ENV

help: ## Say what can be made
	@echo "Tollgate. Usage: make <target> [VARIABLE=value]"
	@echo
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' \
		| while IFS='	' read -r name about; do printf '  %-10s %s\n' "$$name" "$$about"; done
	@echo
	@echo "  The first run gets everything it needs; 'make run' in one terminal and 'make status' in another is a start."

$(TOOLS)/bin/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or later is needed; name one with PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "getting uv $(UV_VERSION) into $(TOOLS)"
	@$(PYTHON) -m venv $(TOOLS) \
		|| { echo "this Python cannot make virtual environments; install its venv module (python3-venv)" >&2; exit 1; }
	@printf '*\n' > $(TOOLS)/.gitignore
	@$(TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

# The first time it shows what it gets; after that there is nothing to say.
install: $(if $(findstring $(TOOLS),$(UV)),$(TOOLS)/bin/uv) ## Get everything that is needed into .venv, exactly as locked
	@$(UV) sync --frozen $(if $(wildcard .venv/bin/tollgate),--quiet)

run: install ## Start the platform and show it live; Ctrl-C stops it. REPLAY=file SPEED=n ARGS="--plain …"
	@$(BIN)/tollgate up $(if $(REPLAY),--replay "$(REPLAY)") $(if $(SPEED),--speed $(SPEED)) $(ARGS)

status: install ## Say how the running platform is. ARGS="--json"
	@$(BIN)/tollgate status $(ARGS)

test: install ## Run every test; ARGS="libs/domain -k portfolio" runs some
	@$(BIN)/pytest -q --numprocesses 2 --dist worksteal $(ARGS)

check: install ## Lint, format, types, import contracts, and the tidy tests
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy $(foreach package,$(PACKAGES),-p $(notdir $(package)))
	@$(BIN)/lint-imports
	@$(BIN)/pytest -q tests/tidy
	@$(UV) lock --check --quiet

coverage: install ## Run every test, its processes too, and write build/coverage.json
	@mkdir -p build
	@rm -f build/.coverage*
	@COVERAGE_FILE=$(CURDIR)/build/.coverage $(BIN)/coverage run -m pytest -q $(ARGS)
	@$(BIN)/coverage combine --quiet --data-file=build/.coverage build
	@$(BIN)/coverage json --quiet --data-file=build/.coverage -o build/coverage.json
	@$(BIN)/coverage report --data-file=build/.coverage --skip-covered --sort=cover

properties: install ## Hold 100,000 random tapes of the gate, and as many of the books, to their laws. ARGS="--sequences 5000"
	@PYTHONPATH=. $(BIN)/python services/risk/tests/risk_sequences.py $(ARGS)
	@PYTHONPATH=. $(BIN)/python services/ledger/tests/ledger_sequences.py $(ARGS)

bench: install ## Measure the running platform and the cores; prints tables, writes build/bench.json
	@mkdir -p build
	@$(BIN)/python -m tests.bench --output build/bench.json $(ARGS)

simulate: install ## Run execution in a simulated world by seeds. SEEDS=1000000, or one run: SEED=7, SCENARIO=name, KILL=n
	@$(BIN)/python -m tests.simulation $(if $(SEED),--seed $(SEED)) $(if $(SCENARIO),--scenario $(SCENARIO)) \
		$(if $(KILL),--kill $(KILL)) $(if $(STILL),--still $(STILL)) $(if $(SEEDS),--seeds $(SEEDS)) $(ARGS)

forgeries: install ## Hand a million forged approvals to execution's core. ARGS="--count 5000 --seed 7"
	@$(BIN)/python -m tests.security.forge $(ARGS)

tampering: install ## Change a thousand things in the books as a superuser: is each found, and its row named? ARGS="--count 50 --seed 7"
	@PYTHONPATH=. $(BIN)/python services/research/tests/tampering.py $(ARGS)

kills: install ## Kill -9 the platform's parts 300 times under traffic and compare; 25 minutes. ARGS="--kills 50 --seed 7"
	@$(BIN)/python -m tests.chaos.kills $(ARGS)

mutants: install ## Change the gates and the order state machine in some 3,000 ways: does a test notice each? Long. SERVICES=risk
	@for service in $(or $(SERVICES),risk execution); do (cd services/$$service \
		&& $(abspath $(UV)) run --frozen --with mutmut==3.8.1 mutmut run $(ARGS) \
		&& $(abspath $(UV)) run --frozen --with mutmut==3.8.1 mutmut results) || exit 1; done

contracts: install ## Write the JSON Schemas, the AsyncAPI, the OpenAPI documents and the database's catalog anew
	@$(BIN)/python -m tollgate_chassis.publish_contracts $(ARGS)
	@$(BIN)/python -m tests.docs.generate_openapi
	@PYTHONPATH=. $(BIN)/python services/research/tests/ledger_catalog.py

watching: install ## Write dashboards, rules of objectives, and the pages that list metrics, alerts and objectives anew
	@$(BIN)/python -m deploy.grafana.boards
	@$(BIN)/python -m tests.deploy.slo.generate_rules
	@$(BIN)/python -m tests.deploy.k8s.generate_rules
	@$(BIN)/python -m tests.docs.generate_metrics
	@$(BIN)/python -m tests.docs.generate_alerts

supply: install ## Write a bill of materials (CycloneDX) for each image to build/sbom, and ask for known vulnerabilities
	@mkdir -p build/sbom
	@for service in marketdata strategy risk execution ledger simvenue console research; do \
		UV="$(UV)" deploy/docker/packages.sh export $$service --quiet --format cyclonedx1.5 \
		--preview-features sbom-export --output-file build/sbom/$$service.json >/dev/null || exit 1; done
	@echo "the bills of materials are in build/sbom"
	@$(UV) export --quiet --frozen --no-dev --all-extras --all-packages --no-emit-workspace --output-file build/requirements.txt
	@$(UV) tool run pip-audit==2.10.1 --requirement build/requirements.txt --no-deps --disable-pip --strict --progress-spinner off

tools: ## Get Prometheus, promtool, amtool and kustomize of Debian into .tollgate-tools, with which deploy/ is tested
	@tests/deploy/get_tools.sh

clean: ## Remove what was built and measured; the data of a platform in .tollgate stays
	@rm -rf build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	@rm -rf services/*/mutants
	@find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +
