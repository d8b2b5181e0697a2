.PHONY: format lint types test test-nightly all-checks

format:
	ruff check --fix .
	ruff format .

lint:
	ruff check .
	ruff format --check .

types:
	mypy

test:
	pytest

test-nightly:  ## minutes to hours; needs `advss data get cifar10` and the peers of CONTRIBUTING.md
	pytest -m "nightly or peers"

all-checks: lint types test
