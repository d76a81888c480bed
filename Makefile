# Two commands do everything on a fresh machine: `make demo` and `make test`. `make check` is for every save.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
TEST_WORKERS ?= 2
TEST_FLAGS ?=
# The core: no test here runs a program, unless it is marked as slow.
QUICK_TESTS := tests/test_*.py tests/data tests/flags tests/metrics tests/tracking
DEMO ?= demo
# `make demo DEMO=demo1 DEMO_SEED=1` is another run of the demo with other weights and another order of the data.
DEMO_SEED ?= 0
# Many people seen once teach most; videos to score on need to be longer.
DEMO_VIDEOS := --num_train_videos=4000 --num_val_videos=40 --num_test_videos=120 --num_frames=1 --num_unseen_frames=5 \
	--frames_per_second=8 --max_people=2 --mean_props=0.1 --person_sizes=0.4,0.65 --min_joints=8
DEMO_DATA := --config.data.directory=$(DEMO)/data/synthetic --config.seed=$(DEMO_SEED)
TWO_STAGE := --config=configs/two_stage_resnet18_synthetic.py --workdir=$(DEMO)/two_stage $(DEMO_DATA)
SINGLE := --config=configs/single_network_synthetic.py --workdir=$(DEMO)/single_network $(DEMO_DATA) \
	--config.initialize.keypoint_workdir=$(DEMO)/two_stage
DEMO_SEARCH := --tune_method=coordinates --tune=head_threshold=0.2,0.3,0.4,0.5,0.6 --tune=head_distance_cells=2,3,4,6 \
	--tune=joint_threshold=0.2,0.3,0.4,0.5,0.6 --tune=person_threshold=1,2,3,5,7 \
	--tune=max_joint_distance_pixels=20,40,80,160 --tune=max_age_frames=2,5,10
DEMO_PICTURES := --num_pictures=8 --num_videos=3 --video_rate=8 --report
DEMO_REPORT := --results=$(DEMO)/results --output=$(DEMO)/report.html --title='tfpose on synthetic videos'
export TF_CPP_MIN_LOG_LEVEL ?= 2
# Modules are compiled when they are first imported, not all at installation, which would take as long as the rest of it.
unexport PYTHONDONTWRITEBYTECODE

# One thread per test process: two processes share the cores.
PYTEST = OMP_NUM_THREADS=1 TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1 $(BIN)/python -m pytest

DEMO_STEPS := demo_data demo_two_stage_training demo_two_stage_scores demo_two_stage_model \
	demo_single_network_training demo_thresholds demo_single_network_scores demo_single_network_model \
	demo_scores_and_models
.PHONY: demo $(DEMO_STEPS) check test lint format install docs clean

# uv installs in a third of the time of pip, which does it where uv cannot, e.g. behind an index that only pip is told of.
PIP := $(BIN)/python -m pip --disable-pip-version-check
PACKAGES := --editable '.[test]' --constraint constraints.txt

install: $(VENV)/.installed

$(VENV)/.installed: setup.py constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet uv && $(BIN)/uv pip install --quiet --python $(BIN)/python $(PACKAGES) \
		|| $(PIP) install --quiet --no-compile $(PACKAGES)
	touch $@

# Every step is a command of the README; each continues or leaves alone what an earlier call finished. A training keeps
# all cores busy. What keeps one core busy, as scores, an export and the start of a training, is done at the same time.
demo:
	$(MAKE) --no-print-directory -j3 demo_scores_and_models
	$(BIN)/python -m tfpose.report $(DEMO_REPORT)
	@echo "Report: $(DEMO)/report.html"
	@echo "Pictures, videos with ids, PoseTrack JSON: $(DEMO)/results   SavedModels: $(DEMO)/saved_models"

demo_scores_and_models: demo_two_stage_scores demo_two_stage_model demo_single_network_scores demo_single_network_model

demo_two_stage_training: demo_data
	$(BIN)/python train_main.py $(TWO_STAGE)

# Nothing else can be done beside the search for thresholds, so these scores wait for it.
demo_two_stage_scores: demo_single_network_training
	$(BIN)/python eval_main.py $(TWO_STAGE) --output_dir=$(DEMO)/results/two_stage --split=test $(DEMO_PICTURES) \
		--tracker.settings=online --tracker.min_joint_score=0.4

demo_two_stage_model: demo_two_stage_training
	$(BIN)/python -m tfpose.export --workdir=$(DEMO)/two_stage --output=$(DEMO)/saved_models/two_stage

# Starts from the weights of the other system.
demo_single_network_training: demo_two_stage_training
	$(BIN)/python train_main.py $(SINGLE)

# On videos that are not scored.
demo_thresholds: demo_single_network_training
	$(BIN)/python eval_main.py $(SINGLE) --output_dir=$(DEMO)/tuned $(DEMO_SEARCH)

demo_single_network_scores: demo_thresholds
	$(BIN)/python eval_main.py $(SINGLE) --output_dir=$(DEMO)/results/single_network --split=test $(DEMO_PICTURES) \
		--tuned=$(DEMO)/tuned/tuning.json

demo_single_network_model: demo_thresholds
	$(BIN)/python -m tfpose.export --workdir=$(DEMO)/single_network --output=$(DEMO)/saved_models/single_network \
		--tuned=$(DEMO)/tuned/tuning.json

demo_data: install
	$(BIN)/python -m data_prep.build synthetic --output $(DEMO)/data $(DEMO_VIDEOS)

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# For every save, in under two minutes on two cores.
check: lint
	$(PYTEST) --numprocesses $(TEST_WORKERS) --dist worksteal -m "not slow" $(QUICK_TESTS)

# All tests in parts, each in a worker of its own: TensorFlow keeps the memory of the networks that it has run. Files of
# full-size networks are parts of their own. Parts that take long are first. In a common folder lies what several need.
TEST_PARTS := evaluation training_1 exporting programs public_exports training_2 others keypoint_rcnn pretrained models \
	serving predict inference detector_export imported_weights keypoint_rcnn_training published_weights public_system \
	detectron
programs := $(wildcard tests/test_*.py)
training_1 := $(wildcard tests/training/test_[a-p]*.py)
training_2 := $(wildcard tests/training/test_[q-z]*.py)
detector_export := tests/exporting/test_two_stage_detector_export.py
keypoint_rcnn := tests/models/test_keypoint_rcnn_network.py
keypoint_rcnn_training := tests/models/test_keypoint_rcnn_training.py
models := tests/models $(patsubst %,--ignore=%,$(keypoint_rcnn) $(keypoint_rcnn_training))
public_exports := tests/exporting/test_quantized_files.py
public_system := tests/exporting/test_public_small_system.py
exporting := tests/exporting $(patsubst %,--ignore=%,$(detector_export) $(public_exports) $(public_system))
serving := tests/serving
predict := tests/predict
evaluation := tests/evaluation
inference := tests/inference
imported_weights := tests/pretrained/test_checkpoint_import.py
published_weights := tests/pretrained/test_pose_resnet_weights.py
detectron := tests/pretrained/test_detectron_names.py
pretrained := tests/pretrained $(patsubst %,--ignore=%,$(imported_weights) $(published_weights) $(detectron))
# What no other part holds.
others := tests $(patsubst %,--ignore=%,$(programs) $(filter-out --%,$(foreach part,$(filter-out others,$(TEST_PARTS)),$($(part)))))

test: lint
	export TFPOSE_TEST_FOLDER=$$(mktemp -d) && trap 'rm -rf "$$TFPOSE_TEST_FOLDER"' EXIT && \
	$(MAKE) --no-print-directory --keep-going --jobs=$(TEST_WORKERS) $(SYNC) $(TEST_PARTS:%=test_%)

.PHONY: $(TEST_PARTS:%=test_%)
# The worker of pytest-xdist writes to no file but those of the tests, whose disks may be full.
$(TEST_PARTS:%=test_%): test_%: install
	$(PYTEST) --numprocesses 1 $(TEST_FLAGS) $($*)

# Lines of parts that run at the same time are not mixed, where make can do so.
SYNC := $(if $(filter output-sync,$(.FEATURES)),--output-sync=target)

# The documentation site, in build/site. Broken links and missing docstrings are errors.
docs: install
	$(BIN)/uv pip install --quiet --python $(BIN)/python --editable '.[docs]' || $(PIP) install --quiet --editable '.[docs]'
	PATH="$(abspath $(BIN)):$$PATH" NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean:
	rm -rf $(VENV) $(DEMO) build *.egg-info
