# Everything starts here. `make run` and `make test` need nothing but this file's folder:
# what is missing is brought (Python packages into .venv, Kafka, PostgreSQL and Redis by Docker or by deploy/local).

.PHONY: run up down clean venv lint test soak upgrade bench

# MONITORING=1: with Prometheus and Alertmanager, and Grafana where Docker is
monitoring = $(if $(MONITORING),FIELD_MONITORING=$(MONITORING))

run: venv ## brings and starts everything with a simulated fleet, shows the live status; Ctrl-C stops it all
	@$(monitoring) .venv/bin/field run

up: venv ## the same in the background, without the fleet
	@$(monitoring) .venv/bin/field up

down: venv ## stops it; data is kept
	@.venv/bin/field down

clean: venv ## stops it and deletes its data; .venv and the cache of programs stay
	@.venv/bin/field clean

venv:
	@deploy/local/venv.sh

lint: venv ## style, format, types
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

test: lint ## everything but the long tests, on parts of its own (other ports, a folder of its own)
	@tests/all.sh

soak: venv ## kills, zombies, outages in rounds for HOURS (1), report in .field/soak; then the long tests, each alert by its fault, and an upgrade (WITHOUT="long alerts upgrade")
	@.venv/bin/python -m tests.faults.soak --hours $(or $(HOURS),1) --seed $(or $(SEED),1)
	@$(if $(filter long,$(WITHOUT)),,.venv/bin/pytest -m long tests && LAW_EXAMPLES=3000 FUZZ_RUNS=200000 .venv/bin/pytest tests/property tests/fuzz)
	@$(if $(filter alerts,$(WITHOUT)),,.venv/bin/python -m tests.monitoring.alerts)
	@$(if $(filter upgrade,$(WITHOUT)),,.venv/bin/python -m tests.upgrade)

upgrade: venv ## a rolling upgrade from an earlier version under load, compared row by row; FROM=REVISION (release 0.3.0); two minutes
	@.venv/bin/python -m tests.upgrade $(if $(FROM),--from $(FROM))

bench: venv ## the field beside Flink, Kafka Streams, Quix, Bytewax and Faust; ARGS="--rows 'ours-*' --runs 1"; an hour and more
	@.venv/bin/python -m tests.benchmarks.bench $(ARGS)
