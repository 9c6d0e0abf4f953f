# Everything a contributor or CI does has one word here. The only needs are Python 3.11 to 3.13 and make.
PYTHON ?= python3
UV_VERSION := 0.13.9
UV := .venv/bin/uv
export UV_PYTHON_DOWNLOADS := never
export UV_PROJECT_ENVIRONMENT := .venv
# A start of the daemon reads some thousand modules of others; where Python keeps no compiled ones, this does.
export UV_COMPILE_BYTECODE := 1

.PHONY: run hello test check docs container bench torture fuzz proto clean

# The environment: uv comes into it by pip, then installs exactly what the lock file names.
.venv/ready: pyproject.toml uv.lock
	test -x .venv/bin/python || $(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	$(UV) sync --locked --inexact --quiet --python .venv/bin/python
	touch $@

# To try things out: sign-ups and invitations are confirmed without asking, which a start without the flag does not do.
run: .venv/ready
	.venv/bin/threadd serve --confirm auto

# A first program against the daemon that runs.
hello: .venv/ready
	.venv/bin/python docs/hello.py

test: .venv/ready
	.venv/bin/python -m pytest

check: .venv/ready
	.venv/bin/ruff check --quiet .
	.venv/bin/ruff format --quiet --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

# The documents as a site, in the folder site; links that lead nowhere fail.
docs: .venv/ready
	$(UV) sync --locked --inexact --quiet --group docs --python .venv/bin/python
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --strict --quiet

# The image is built and run without Docker; PROOF is handed on, --help among it.
PROOF ?=
container: .venv/ready
	.venv/bin/python tests/container/prove.py $(PROOF)

# WRITE=--write keeps what was measured in bench/RESULTS.md.
WRITE ?=
bench: .venv/ready
	.venv/bin/python bench/run.py $(WRITE)
	.venv/bin/python bench/between.py $(WRITE)
	.venv/bin/python bench/buckets.py $(WRITE)
	.venv/bin/python bench/doors.py $(WRITE)

# The daemon is killed as often as ROUNDS says; then two of them exchange a write a second for so many MINUTES.
ROUNDS ?= 2000
MINUTES ?= 60
torture: .venv/ready
	TORTURE_ROUNDS=$(ROUNDS) .venv/bin/python -m pytest tests/crash/test_kill_under_load.py --capture=no
	TORTURE_MINUTES=$(MINUTES) FAILED_DIALS=10000 JOINED_RECORDS=100000 \
		.venv/bin/python -m pytest tests/net/test_memory_of_peers.py tests/net/test_long_joins.py
	MODEL_SEEDS=0-500 .venv/bin/python -m pytest tests/net/test_model_of_hosts.py

# Every decoder of bytes from outside is fed for SECONDS altogether.
SECONDS ?= 600
fuzz: .venv/ready
	FUZZ_SECONDS=$(SECONDS) .venv/bin/python -m pytest tests/fuzz --capture=no

proto: .venv/ready
	.venv/bin/python proto/generate.py

clean:
	rm -rf .venv
