"""Keypoint network of the two-stage system: ResNet-152 from COCO fine-tuned on PoseTrack 2018, 384x288.

Honda et al., "Enhanced Two-Stage Multi-Person Pose Estimation", 2018: 1,000 steps at 1e-4 score best, 76,000 steps
score worse. Weights come from the COCO run, matched by joint name; the heatmaps of head_bottom and head_top start
fresh.

    tfpose build posetrack18 --source POSETRACK18_DIR --output data
    tfpose train --config=two_stage_resnet152_posetrack18 --workdir=runs/resnet152_posetrack18 \
        --config.initialize.source_workdir=runs/resnet152_coco

Hardware: meant for one GPU with 24 GB or more. Time and score have not been measured with this library. The paper
reports 70.4 mAP on the validation set with boxes from its own detector.
On a CPU add --config.optimization.precision=float32 --config.optimization.jit_compile=False.
"""

import ml_collections

from tfpose.systems import build_config


def get_config() -> ml_collections.ConfigDict:
    """Returns the config of the experiment."""
    return build_config(
        system="two_stage",
        skeleton="posetrack15",
        data={"directory": "data/posetrack18"},
        network={
            "name": "pose_resnet",
            "depth": 152,
            "input_size": (384, 288),
            "stride_in": "1x1",
            "base_width": 64,
            "deconv_filters": 256,
        },
        crop={"margin_pixels": 60.0, "margin_scale": 1.0},
        augmentation={
            "mirror_probability": 0.5,
            "rotation_degrees": 40.0,
            "rotation_probability": 1.0,
            "scale_range": (0.7, 1.3),
        },
        target={"sigma_cells": 3.0},
        initialize={"encoder": "", "source_workdir": "runs/resnet152_coco", "from_scratch": False},
        batch_size=64,
        optimization={
            "learning_rate": 1e-4,
            "learning_rate_drops": (),
            "warmup_steps": 0,
            "precision": "mixed_bfloat16",
            "jit_compile": True,
        },
        run={
            "total_steps": 1_000,
            "log_every": 20,
            "checkpoint_every": 250,
            "evaluate_every": 250,
            "best_metric": "AP",
            "pictures_every": 250,
        },
        inference={"use_flip_test": True, "shift_one_cell": True, "decoding": "quarter", "blur_kernel": 17},
        selection={"joint_threshold": 0.2, "oks_threshold": 0.9},
        evaluation={"batch_size": 64},
    )
