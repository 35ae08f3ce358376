# `make study` and `make test` set up what they need, once.
PYTHON ?= $(shell for p in python3 python3.12 python3.11 python3.10; do \
  $$p -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 13))' 2>/dev/null \
  && echo $$p && break; done)
OUT ?= out
TL4 ?= 4.3.0
# PyTorch's CPU builds; leave it empty (TORCH_INDEX=) to take the GPU build of PyPI on Linux.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
TORCH = torch==2.13.0 --retries 2 --timeout 30 \
  $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))

.PHONY: study test lint types check test-tl4 setup bench clean

study: setup
	.venv/bin/empathy-mi study --out $(OUT)

test: setup
	.venv/bin/pytest -n 2 --dist loadfile

lint: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

types: setup
	.venv/bin/mypy

check: lint types test

# The same tests on TransformerLens 4, where only TransformerBridge exists.
test-tl4: .venv-tl4/ready
	.venv-tl4/bin/pytest -n 2 --dist loadfile

bench: setup
	for file in tests/benchmarks/bench_*.py; do .venv/bin/python $$file || exit 1; done

setup: .venv/ready

.venv/ready: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "empathy-mi needs Python 3.10, 3.11 or 3.12: install one, or" \
	  "name it as in 'make study PYTHON=/path/to/python3.12'." >&2; exit 2; }
	$(PYTHON) -m venv .venv
	.venv/bin/pip install --quiet $(TORCH)
	.venv/bin/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

.venv-tl4/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-tl4
	grep -v '^transformer-lens==' constraints.txt > .venv-tl4/constraints.txt
	.venv-tl4/bin/pip install --quiet $(TORCH)
	.venv-tl4/bin/pip install --quiet --constraint .venv-tl4/constraints.txt \
	  transformer_lens==$(TL4) --editable '.[dev]'
	touch $@

clean:
	rm -rf .venv .venv-tl4 out
