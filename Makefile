.PHONY: format lint types test test-gpu test-nightly fuzz site all-checks

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

test-gpu:  ## what only a GPU can show; all of it is skipped where torch sees none
	pytest -m gpu -rs tests/test_gpu.py

test-nightly:  ## minutes to hours; needs `advss data get cifar10` and the peers of CONTRIBUTING.md
	pytest -m "nightly or peers"

fuzz:  ## 10,000 damaged inputs for each parser: an hour
	pytest -m nightly tests/fuzz

site:  ## build/site/index.html; needs `pip install -e '.[docs]'` and no network
	python docs/site/make.py

all-checks: lint types test
