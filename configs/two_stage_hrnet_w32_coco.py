"""Keypoint network of the two-stage system: HRNet-W32 on COCO, 256x192.

Sun, Xiao, Liu and Wang, "Deep High-Resolution Representation Learning for Human Pose Estimation", 2019, section 4.1:
boxes times 1.25, Gaussians of 2 cells, Adam 1e-3 with a tenth of it after 170 and 200 of 210 epochs. The steps are
those of the 149,813 people of train2017 in batches of 128, the batch of the public code. As in the public code,
three tenths of the people with 9 labeled joints or more show only their upper or their lower body.

    tfpose build coco_keypoints --source COCO_DIR --output data
    tfpose train --config=two_stage_hrnet_w32_coco --workdir=runs/hrnet_w32_coco

For HRNet-W48 add --config.network.width=48; for 384x288 add --config.network.input_size='(384, 288)'
--config.target.sigma_cells=3.0.

Hardware: the published run used 4 GPUs. This config has not been run, so time and score are not known. Published score:
74.4 AP on COCO val2017 with detected boxes from an ImageNet network, 73.4 AP from scratch (Table 1). There are no
public ImageNet weights for tfpose, so this config trains from scratch. To start from a converted public checkpoint,
add --config.initialize.source_workdir=DIR --config.initialize.from_scratch=False.
On a CPU add --config.optimization.precision=float32 --config.optimization.jit_compile=False.
"""

import ml_collections

from tfpose.systems import build_config


def get_config() -> ml_collections.ConfigDict:
    """Returns the config of the experiment."""
    return build_config(
        system="two_stage",
        data={"directory": "data/coco_keypoints"},
        network={"name": "pose_hrnet", "width": 32, "input_size": (256, 192)},
        crop={"margin_pixels": 0.0, "margin_scale": 1.25},
        augmentation={
            "mirror_probability": 0.5,
            "rotation_degrees": 45.0,
            "rotation_probability": 0.6,
            "scale_range": (0.65, 1.35),
            "half_body_probability": 0.3,
        },
        target={"sigma_cells": 2.0, "centers": "rounded", "cutoff_sigmas": 3.0},
        initialize={"from_scratch": True},
        batch_size=128,
        optimization={
            "learning_rate": 1e-3,
            "learning_rate_drops": ((198_900, 0.1), (234_000, 0.1)),
            "precision": "mixed_bfloat16",
            "jit_compile": True,
        },
        run={
            "total_steps": 245_700,
            "checkpoint_every": 2_000,
            "evaluate_every": 11_700,
            "best_metric": "AP",
            "pictures_every": 11_700,
        },
        inference={"use_flip_test": True, "shift_one_cell": True, "decoding": "quarter"},
        selection={"joint_threshold": 0.2, "oks_threshold": 0.9},
        evaluation={"batch_size": 128},
    )
