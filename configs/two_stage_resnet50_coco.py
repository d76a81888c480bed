"""Keypoint network of the two-stage system: ResNet-50 on COCO, 384x288.

Honda et al., "Enhanced Two-Stage Multi-Person Pose Estimation", 2018: 60 px around the box, Gaussians of 3 cells,
Adam 1e-3, batch 64, 90,000 steps. The network is that of Xiao et al., "Simple Baselines for Human Pose Estimation and
Tracking", 2018.

    tfpose build coco_keypoints --source COCO_DIR --output data
    tfpose train --config=two_stage_resnet50_coco --workdir=runs/resnet50_coco

Hardware: meant for one GPU with 24 GB or more; several GPUs divide the batch of 64. Time and score have not been
measured with this library. Published score:
72.2 AP on COCO val2017 with detected boxes (Xiao et al., Table 2, ResNet-50 384x288).
On a CPU add --config.optimization.precision=float32 --config.optimization.jit_compile=False.
"""

import ml_collections

from tfpose.systems import build_config


def get_config() -> ml_collections.ConfigDict:
    """Returns the config of the experiment."""
    return build_config(
        system="two_stage",
        data={"directory": "data/coco_keypoints"},
        network={
            "name": "pose_resnet",
            "depth": 50,
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
        initialize={"encoder": "imagenet", "from_scratch": False},
        batch_size=64,
        optimization={
            "learning_rate": 1e-3,
            "learning_rate_drops": ((60_000, 0.1), (80_000, 0.1)),
            "warmup_steps": 0,
            "precision": "mixed_bfloat16",
            "jit_compile": True,
        },
        run={
            "total_steps": 90_000,
            "checkpoint_every": 2_000,
            "evaluate_every": 10_000,
            "best_metric": "AP",
            "pictures_every": 2_000,
        },
        inference={"use_flip_test": True, "shift_one_cell": True, "decoding": "quarter", "blur_kernel": 17},
        selection={"joint_threshold": 0.2, "oks_threshold": 0.9},
        evaluation={"batch_size": 64},
    )
