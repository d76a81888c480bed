# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
TEST_WORKERS ?= 2
TEST_FLAGS ?=
DEMO ?= demo
DEMO_CONFIG := configs/two_stage_resnet18_synthetic.py
export TF_CPP_MIN_LOG_LEVEL ?= 2

.PHONY: demo test lint format install clean

install: $(VENV)/.installed

$(VENV)/.installed: setup.py constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[test]' --constraint constraints.txt
	touch $@

# Every step is a command of the README; each continues or leaves alone what an earlier call finished.
demo: install
	$(BIN)/python -m data_prep.build synthetic --output $(DEMO)/data --num_train_videos=900 --num_val_videos=60 \
		--num_frames=3 --frames_per_second=1.5 --max_people=3 --mean_props=0.5 --person_sizes=0.3,0.8
	$(BIN)/python train_main.py --config=$(DEMO_CONFIG) --workdir=$(DEMO)/run --config.data.directory=$(DEMO)/data/synthetic
	$(BIN)/python eval_main.py --config=$(DEMO_CONFIG) --workdir=$(DEMO)/run --output_dir=$(DEMO)/results \
		--config.data.directory=$(DEMO)/data/synthetic --num_pictures=12
	$(BIN)/python -m tfpose.export --workdir=$(DEMO)/run --output=$(DEMO)/saved_model
	@echo "Pictures: $(DEMO)/results/pictures   PoseTrack JSON: $(DEMO)/results/predictions   SavedModel: $(DEMO)/saved_model"

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# One thread per test process: two processes share the cores.
test: install lint
	OMP_NUM_THREADS=1 TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1 \
	$(BIN)/python -m pytest --numprocesses $(TEST_WORKERS) --dist worksteal $(TEST_FLAGS)

clean:
	rm -rf $(VENV) $(DEMO) build *.egg-info
