# Everything runs in .venv, which `make setup` builds from the hashed lock.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help setup backtest test coverage check bench soak fuzz faults slow browser promtool lock clean

help:  ## what there is
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/ -/'

setup: $(READY)  ## build .venv with the leverpack command in it

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "leverpack needs Python 3.11 or newer; set PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@# setuptools first: the few source distributions of the lock are built with it, not with
	@# whatever an isolated build would fetch without a hash.
	grep -A99 -E '^setuptools==' requirements.lock | awk 'NR==1{print;next} /^ +--hash/{print;next} {exit}' > $(VENV)/first.txt
	grep -A99 -E '^wheel==' requirements.lock | awk 'NR==1{print;next} /^ +--hash/{print;next} {exit}' >> $(VENV)/first.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes --no-deps -r $(VENV)/first.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes --no-build-isolation -r requirements.lock
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(READY)

backtest: setup  ## a leveraged backtest on the shipped candles, with its report
	$(BIN)/leverpack backtest --data data/made_BTCUSDT_1h_2025.csv \
		--mark data/made_BTCUSDT_mark_1h_2025.csv \
		--funding data/made_BTCUSDT_funding_2025.csv --symbol BTC/USDT:USDT \
		--strategy conservative --leverage 12 --cash 10000 --param risk_per_trade=0.04 \
		--param stop_loss_pct=0.09 --param take_profit_pct=0.12 --report reports/sample

# Four workers on two cores: many tests wait for a server of their own.
test: setup  ## the whole suite
	$(BIN)/python -m pytest -n 4 -m "not slow"

coverage: setup  ## the same with coverage, which doubles the time
	$(BIN)/python -m pytest -n 4 -m "not slow" --cov --cov-report=term

check: setup  ## ruff, mypy --strict, import direction
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The other engines have their own lock and environment: what they need is not what we need.
PEERS := $(VENV)/peers
$(PEERS)/.ready: benchmarks/peers.lock $(READY)
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r benchmarks/peers.lock
	@touch $@

bench: setup $(PEERS)/.ready  ## side by side with stock Backtrader and others, in one run
	$(BIN)/python -m benchmarks.bench_run
	$(BIN)/python -m benchmarks.bench_leverage
	$(BIN)/python -m benchmarks.bench_report
	$(BIN)/python -m benchmarks.bench_paper
	$(BIN)/python -m benchmarks.bench_live
	$(BIN)/python -m benchmarks.bench_candles
	$(BIN)/python -m benchmarks.bench_sweep --peers $(PEERS)/bin/python
	$(BIN)/python -m benchmarks.bench_cluster

fuzz: setup  ## a hundred thousand hurt candle files (CASES=, SEED=); wrong readings go to reports/fuzz
	$(BIN)/python -m tests.fuzz.run --cases $(or $(CASES),100000) --seed $(or $(SEED),0)

faults: setup  ## live runs with mixed faults, and kills (RUNS=, KILLS=; SEED= one run alone)
	$(BIN)/python -m tests.live.faultruns --runs $(or $(RUNS),$(LEVERPACK_FAULT_RUNS),1000) \
		--kills $(or $(KILLS),$(LEVERPACK_KILLS),200) $(if $(SEED),--seed $(SEED))

browser:  ## Chromium for the tests of the report page, where it is missing and apt may install it
	@for name in chromium chromium-browser google-chrome; do \
		command -v $$name >/dev/null && { echo "$$name is there"; exit 0; }; done; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -q && apt-get install -y -q --no-install-recommends chromium; \
	else echo "no Chromium: the page's browser tests will be skipped; install chromium"; fi

soak: setup  ## a simulated day of minutes on ten live feeds: memory, threads, files, stop
	$(BIN)/python -m benchmarks.bench_soak

promtool:  ## Prometheus' checker for the tests of deploy/, where it is missing and apt may fetch it
	@command -v promtool >/dev/null && { echo "promtool is there"; exit 0; }; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		cd "$$(mktemp -d)" && apt-get update -q && apt-get download -q prometheus && \
		dpkg-deb -x prometheus_*.deb . && install usr/bin/promtool /usr/local/bin/promtool; \
	else echo "no promtool: its tests will be skipped; install prometheus"; fi

slow: setup  ## what takes too long for `make test`
	$(BIN)/python -m pytest -m slow

# By the oldest Python there is to support: what is pinned on a newer one may not install on it.
PIN = $(BIN)/pip-compile -q --strip-extras --allow-unsafe --generate-hashes --no-header \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-annotate
lock:  ## pin the newest versions anew, with hashes (with the oldest Python in .venv)
	$(PIN) --extra dev -o requirements.lock pyproject.toml
	$(PIN) -o benchmarks/peers.lock benchmarks/peers.in
	sed -i '/^#/d' requirements.lock benchmarks/peers.lock

clean:  ## remove what was built
	rm -rf $(VENV) build dist reports *.egg-info .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache
