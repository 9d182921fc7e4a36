PYTHON ?= python3
VENV ?= .venv
TORCH ?= torch==2.13.0
MODEL ?= build/tiny
PROMPT ?= A quiet street cafe at dusk. The chalkboard beside the door says "FRESH COFFEE".
BIN := $(VENV)/bin
export OMP_WAIT_POLICY := passive

.PHONY: demo test test-long clean

demo: $(VENV)/installed $(MODEL)
	mkdir -p out
	$(BIN)/python -m glm_core generate --model $(MODEL) --prompt '$(PROMPT)' --width 256 --height 256 --steps 8 --out out/demo.png

build/tiny: | $(VENV)/installed
	@echo "No MODEL given: making a tiny random one, whose pictures are noise."
	$(BIN)/python -m tests.tiny $@

test: $(VENV)/tests-installed
	$(BIN)/ruff check .
	$(BIN)/python -m pytest -m "not long"

test-long: $(VENV)/tests-installed
	$(BIN)/python -m pytest -m long

$(VENV)/installed: requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check $(TORCH) -r requirements.txt
	touch $@

$(VENV)/tests-installed: tests/requirements.txt $(VENV)/installed
	$(BIN)/python -m pip install -q --disable-pip-version-check $(TORCH) -r tests/requirements.txt
	touch $@

clean:
	rm -rf $(VENV) build out
