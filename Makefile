PYTHON ?= python3
VENV ?= .venv
TORCH ?= torch==2.13.0
MODEL ?= embedded
PROMPT_1 ?= A yellow poster. At the top, "COFFEE" in blue letters. At the bottom left, a red circle. \
	At the bottom right, a purple diamond.
PROMPT_2 ?= A blue poster. In the centre, "MUSEUM" in white letters. At the top left, a yellow triangle. \
	At the bottom, an orange square.
PROMPT_3 ?= A white poster. At the top left, "OPEN" in small purple serif letters. \
	At the bottom, "RADIO" in small black serif letters. At the right, a large green cross.
BIN := $(VENV)/bin
export OMP_WAIT_POLICY := passive
# pyright must not look for a newer release of itself
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

.PHONY: demo figures test test-long clean

demo: $(VENV)/installed
	mkdir -p out
	$(BIN)/python -m glm_core generate --model '$(MODEL)' \
		--prompt '$(PROMPT_1)' --prompt '$(PROMPT_2)' --prompt '$(PROMPT_3)' \
		--out out/demo.png --sheet out/sheet.png

# an hour and more on two cores; FIGURES=--resume goes on where an interrupted run ended
figures: demo $(VENV)/tests-installed
	cp out/sheet.png docs/demo.png
	$(BIN)/python -m tests.figures $(FIGURES)

test: $(VENV)/tests-installed
	$(BIN)/ruff check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/python -m pytest -m "not long" --numprocesses 2 --dist loadgroup

test-long: $(VENV)/tests-installed
	$(BIN)/python -m pytest -m long

$(VENV)/installed: requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check $(TORCH) -r requirements.txt
	touch $@

$(VENV)/tests-installed: tests/requirements.txt $(VENV)/installed
	$(BIN)/python -m pip install -q --disable-pip-version-check $(TORCH) -r tests/requirements.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps comfy-cli==1.23.0
	touch $@

clean:
	rm -rf $(VENV) build out
