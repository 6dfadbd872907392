# Habits: make demo | test | test-fast | test-clusters | test-vllm | test-sharded | torture | lint | format | bench | site | docs | base | evidence | clean.
# Each sets up .venv on first use.
# The first Python from 3.11 on that is found, and that can make environments.
PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3.14 python3 python; do \
	$$name -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$name; break; }; done)
VENV := .venv
CLUSTERS := .venv-clusters/bin
RUN := $(VENV)/bin
STAMP := $(VENV)/.installed
OUT ?= runs/demo-$(shell date +%Y%m%d-%H%M%S)
EXPERIMENTS := visual arithmetic length ablation long-chains transfer auto sensitivity stability methods
JOBS ?= 2
VLLM := build/vllm-env
DEEPSPEED := build/deepspeed
FAST := tests/test_architecture.py tests/objective tests/voting tests/answers tests/options tests/runs tests/engine/test_sharing.py \
	tests/training/test_trainer.py tests/training/test_collapse.py tests/training/test_probe.py

.PHONY: demo test test-fast test-clusters test-vllm test-sharded torture lint format bench site docs base evidence clean

$(STAMP): pyproject.toml constraints.txt
	test -x $(RUN)/python || test -n "$(PYTHON)" || { echo "no Python from 3.11 on with venv; install one, or: make PYTHON=path"; exit 1; }
	test -x $(RUN)/python || $(PYTHON) -m venv $(VENV)
	$(RUN)/pip install --quiet --constraint constraints.txt torch
	$(RUN)/pip install --quiet --constraint constraints.txt --editable '.[dev,docs]'
	touch $@

demo: $(STAMP)  ## adapt the built-in model with TTRL and with SPINE
	HF_HUB_OFFLINE=1 $(RUN)/spine demo --out $(OUT)

test: $(STAMP)  ## every test, in two processes of one thread each
	OMP_NUM_THREADS=1 $(RUN)/pytest --numprocesses $(JOBS) --dist worksteal

test-fast: $(STAMP)  ## the habit: the method, the vote, the trainer and the arrows, in under two minutes
	OMP_NUM_THREADS=1 $(RUN)/pytest --numprocesses $(JOBS) --dist worksteal -m "not slow" $(FAST)

test-clusters:  ## a local Ray cluster, SLURM's script, trackers, weights in 4 bits, in an environment of their own
	test -x $(CLUSTERS)/python || $(PYTHON) -m venv $(CLUSTERS:/bin=)
	$(CLUSTERS)/pip install --quiet --constraint constraints.txt torch
	$(CLUSTERS)/pip install --quiet --editable '.[dev,ray,trackers,quantization]'
	OMP_NUM_THREADS=1 $(CLUSTERS)/pytest -m "clusters or slow" tests/test_recipes.py tests/lab/test_cluster.py tests/training/test_trackers.py

test-vllm: $(VLLM)/.installed  ## a real vLLM on the CPU, in an environment of its own
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(VLLM)/bin/pytest tests/real_vllm/test_sampler.py
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(VLLM)/bin/pytest tests/real_vllm/test_colocated.py

$(VLLM)/.installed: $(STAMP) tests/real_vllm/make_environment.py
	$(RUN)/python tests/real_vllm/make_environment.py $(VLLM)
	touch $@

test-sharded: $(DEEPSPEED)/.installed  ## FSDP2, ZeRO-2 and ZeRO-3 in two processes on the CPU
	SPINE_TEST_SHARDED=1 PYTHONPATH=$(DEEPSPEED) HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(RUN)/pytest tests/sharded

$(DEEPSPEED)/.installed: $(STAMP)  # beside the environment: TRL and transformers import it wherever they find it
	DS_BUILD_OPS=0 DS_ACCELERATOR=cpu $(RUN)/pip install --quiet --target $(DEEPSPEED) --no-deps --no-build-isolation \
		deepspeed==0.19.8 hjson msgpack py-cpuinfo einops ninja
	touch $@

torture: $(STAMP)  ## kills, damage, full disks, bad inputs, two at once: an hour or two; counts go to docs/results/torture
	cd tests && HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 ../$(RUN)/python -m torture

lint: $(STAMP)
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/pyright

format: $(STAMP)
	$(RUN)/ruff check --fix .
	$(RUN)/ruff format .

bench: $(STAMP)  ## SPINE beside TRL, in three to four minutes
	HF_HUB_OFFLINE=1 $(RUN)/spine bench --quick --out runs/bench-$(shell date +%Y%m%d-%H%M%S)

site: $(STAMP)  ## the documentation, in build/site; a broken link fails
	NO_MKDOCS_2_WARNING=1 $(RUN)/mkdocs build --quiet --strict

docs: $(STAMP)  ## tables and pictures of docs/results from the committed cells
	$(RUN)/spine experiment docs/results/lab/experiment.yaml --out docs/results/lab --only-report
	for name in $(EXPERIMENTS) cost; do if test -e docs/results/$$name/cells.jsonl.gz; then \
		$(RUN)/spine experiment $$name --out docs/results/$$name --only-report || exit 1; fi; done
	$(RUN)/python benchmarks/collapse_monitor.py docs/results > docs/results/monitor.md

base: $(STAMP)  ## make the base models of the lab anew, into build
	$(RUN)/python -m spine_rl.lab.make_base --out build/arithmetic
	$(RUN)/python -m spine_rl.lab.make_text_base --out build/text
	$(RUN)/python -m spine_rl.lab.make_visual_base --out build/vqa

evidence: $(STAMP)  ## run the cells of docs/results that are missing: hours
	for name in $(EXPERIMENTS); do \
		HF_HUB_OFFLINE=1 $(RUN)/spine experiment $$name --out docs/results/$$name --jobs $(JOBS) \
			$$(ls docs/results/*/cells.jsonl.gz | grep -v /lab/ | sed 's,^,--reuse ,; s,/cells.jsonl.gz$$,,') || exit 1; done
	HF_HUB_OFFLINE=1 $(RUN)/spine experiment cost --out docs/results/cost

clean:
	rm -rf $(VENV) .venv-clusters build dist .pytest_cache .ruff_cache .hypothesis
