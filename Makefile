# make demo    set up, then the whole chain on 8 x 8 digits, up to real Lava and a report, at T = 4 and T = 2
# make test    set up, then all tests, real Lava and the peers' counters included
# make check   what CI runs: format, lint, types, tests
# make setup   only the environments: .venv (project), .lava (real Lava), .peers (NeuroBench, SpikingJelly)

PYTHON ?= python3
PIP = bin/pip install --quiet --disable-pip-version-check

.PHONY: demo test check format-check lint types setup lava peers clean

demo: .venv/ready .lava/ready
	.venv/bin/spikeport run recipes/digits.yaml
	.venv/bin/spikeport run recipes/digits-t2.yaml

test: setup
	.venv/bin/pytest

check: setup format-check lint types
	.venv/bin/pytest

format-check: .venv/ready
	.venv/bin/ruff format --check .

lint: .venv/ready
	.venv/bin/ruff check .

types: .venv/ready
	.venv/bin/pyright

setup: .venv/ready .lava/ready .peers/ready

lava: .lava/ready

peers: .peers/ready

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	.venv/$(PIP) --upgrade pip
	.venv/$(PIP) -c constraints.txt -e '.[dev]'
	touch $@

# Lava declares Python 3.10 and numpy 1, and installs a package named `tests`: it gets an environment of its own.
.lava/ready: export/lava_runner/requirements.txt export/lava_runner/lava.txt
	$(PYTHON) -m venv .lava
	.lava/$(PIP) -r export/lava_runner/requirements.txt
	.lava/$(PIP) --ignore-requires-python --no-deps -r export/lava_runner/lava.txt
	touch $@

.peers/ready: tests/peers/requirements.txt tests/peers/requirements-nodeps.txt constraints.txt
	$(PYTHON) -m venv .peers
	.peers/$(PIP) -c constraints.txt -r tests/peers/requirements.txt
	.peers/$(PIP) --no-deps -r tests/peers/requirements-nodeps.txt
	touch $@

clean:
	rm -rf .venv .lava .peers build *.egg-info
