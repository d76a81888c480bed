"""Keypoint network of the two-stage system: PP-TinyPose on COCO, 256x192, for phones and CPUs.

PaddleDetection, configs/keypoint/tiny_pose, 2021. As published: boxes times 1.25, clipped to the image; Gaussians of 2
cells; Adam 2e-3 for batches of 512, a tenth of it after 380 and 410 of 420 epochs, 500 steps of warm-up; scale 0.75 to
1.25, rotation by 30 degrees, mirror. Three tenths of the people with 9 labeled joints or more show only their upper or
their lower body, and half of the crops have a black disc over a joint. The steps are those of the 149,813 people of
train2017.

Differences from the publisher's code: it adds the people of AI Challenger; it draws scales and rotations from clipped
normal distributions, and the upper body with a probability of 0.69 instead of 0.5; and it cuts the discs out of the
image before the crop, with radii of 19 to 38 image pixels, so that discs cover less of large people.

    tfpose build coco_keypoints --source COCO_DIR --output data
    tfpose train --config=two_stage_tinypose_256x192_coco --workdir=runs/tinypose_coco

For 128x96 add --config.network.input_size='(128, 96)' --config.target.sigma_cells=1.0
--config.optimization.learning_rate=8e-3 --config.batch_size=2048, and divide all steps by 4.

Hardware: the published run used 4 GPUs. This config has not been run, so time and score are not known. Published score:
68.8 AP on COCO val2017 with annotated boxes.
On a CPU add --config.optimization.precision=float32 --config.optimization.jit_compile=False.
"""

import ml_collections

from tfpose.systems import build_config


def get_config() -> ml_collections.ConfigDict:
    """Returns the config of the experiment."""
    return build_config(
        system="two_stage",
        data={"directory": "data/coco_keypoints"},
        network={"name": "tinypose", "input_size": (256, 192)},
        crop={
            "margin_pixels": 0.0,
            "margin_scale": 1.25,
            "convention": "paddle",
            "clips_annotated_boxes": True,
            "reduces_images": False,
        },
        augmentation={
            "mirror_probability": 0.5,
            "rotation_degrees": 30.0,
            "rotation_probability": 0.6,
            "scale_range": (0.75, 1.25),
            "half_body_probability": 0.3,
            "cutout_probability": 0.5,
        },
        target={"sigma_cells": 2.0, "centers": "subcell"},
        initialize={"from_scratch": True},
        batch_size=512,
        optimization={
            "learning_rate": 2e-3,
            "learning_rate_drops": ((111_200, 0.1), (120_000, 0.1)),
            "warmup_steps": 500,
            "precision": "mixed_bfloat16",
            "jit_compile": True,
        },
        run={
            "total_steps": 122_900,
            "checkpoint_every": 2_000,
            "evaluate_every": 5_850,
            "best_metric": "AP",
            "pictures_every": 5_850,
        },
        inference={"use_flip_test": True, "shift_one_cell": True, "decoding": "dark", "blur_kernel": 3},
        selection={"joint_threshold": 0.2, "oks_threshold": 0.9},
        evaluation={"batch_size": 128},
    )
