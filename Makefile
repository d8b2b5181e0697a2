.PHONY: format lint types test test-nightly fuzz site all-checks

format:
	ruff check --fix .
	ruff format .

lint:
	ruff check .
	ruff format --check .

types:
	mypy

test:
	pytest -n auto --dist loadfile

test-nightly:  ## minutes to hours; needs `advss data get cifar10` and the peers of CONTRIBUTING.md
	pytest -m "nightly or peers"

fuzz:  ## 10,000 damaged inputs for each parser: an hour
	pytest -m nightly tests/fuzz

site:  ## build/site/index.html; needs `pip install -e '.[docs]'` and no network
	python docs/site/make.py

all-checks: lint types test
