# Only Python 3.11 and make are needed: the first target installs everything into .venv from the lock.
.PHONY: run test promises slow mutants lint audit lock bench up down clean
.DELETE_ON_ERROR:

BIN := .venv/bin
INSTALLED := .venv/.installed

$(INSTALLED): pyproject.toml constraints.txt infra/install.sh
	bash infra/install.sh
	touch $@

run: $(INSTALLED) ## the main job: digits, from raw data to a champion
	$(BIN)/headframe run experiment=digits_ensemble

test: $(INSTALLED) ## the default suite, three files at a time since tests wait for processes, and the share of lines and branches that it runs
	rm -rf .coverage && mkdir .coverage
	TEST_COVERAGE=$(CURDIR)/.coverage $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

promises: $(INSTALLED) ## whether all that conf/ offers keeps its promises, on tiny tables; PROJECT=../mine: of another project
	$(if $(PROJECT),PROMISES_OF=$(abspath $(PROJECT))) $(BIN)/python -m pytest tests/promises

slow: $(INSTALLED) ## the tests that take minutes
	$(BIN)/python -m pytest -m slow

mutants: $(INSTALLED) ## changes of the code that no test notices; ROOMS=gates,ledger SAMPLE=40 SEED=1 choose them
	$(BIN)/python tests/mutants.py $(if $(ROOMS),--rooms $(ROOMS)) $(if $(SAMPLE),--sample $(SAMPLE)) $(if $(SEED),--seed $(SEED))

lint: $(INSTALLED) ## style, types, import contracts, known vulnerabilities of the lock
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python infra/audit.py

audit: $(INSTALLED) ## known vulnerabilities of the lock; fails where there is one, or where none could be looked up
	$(BIN)/python infra/audit.py --strict

lock: $(INSTALLED) ## rewrite constraints.txt
	bash infra/install.sh lock

bench: $(INSTALLED) ## the goals of the design as ratios, one table
	$(BIN)/python -m benchmarks

up: $(INSTALLED) ## Prefect and MLflow on this machine
	$(BIN)/headframe up

down: $(INSTALLED)
	$(BIN)/headframe down

clean:
	rm -rf .venv .headframe .coverage data build dist
