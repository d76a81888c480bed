"""Keypoint network of the two-stage system: HRNet-W32 from COCO fine-tuned on PoseTrack 2018, 256x192.

Sun, Xiao, Liu and Wang, "Deep High-Resolution Representation Learning for Human Pose Estimation", 2019, section 4.3:
20 epochs from COCO, a tenth of the learning rate after 10 and 15 of them. MMPose published a run of this schedule with
a learning rate of 5e-4 and 500 steps of warm-up for batches of 512, and half-body crops as on COCO. Weights come from
the COCO run, matched by joint name; the heatmaps of head_bottom and head_top start fresh.

    tfpose build posetrack18 --source POSETRACK18_DIR --output data
    tfpose train --config=two_stage_hrnet_w32_posetrack18 --workdir=runs/hrnet_w32_posetrack18 \
        --config.initialize.source_workdir=runs/hrnet_w32_coco

The steps are 20 epochs of 97,000 people, an estimate. For exactly 20 epochs of your files, set run.total_steps to
20 * people / 512, with the people that tfpose build counts, and the drops to a half and three quarters of it.

Hardware: the published run used 8 GPUs. This config has not been run, so time and score are not known. MMPose reports
83.4 mAP on the validation set with annotated boxes, and 76.9 mAP with boxes of a Cascade R-CNN.
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
        initialize={"source_workdir": "runs/hrnet_w32_coco"},
        batch_size=512,
        optimization={
            "learning_rate": 5e-4,
            "learning_rate_drops": ((1_900, 0.1), (2_850, 0.1)),
            "warmup_steps": 500,
            "precision": "mixed_bfloat16",
            "jit_compile": True,
        },
        run={
            "total_steps": 3_800,
            "log_every": 20,
            "checkpoint_every": 500,
            "evaluate_every": 950,
            "best_metric": "AP",
            "pictures_every": 950,
        },
        inference={"use_flip_test": True, "shift_one_cell": True, "decoding": "quarter"},
        selection={"joint_threshold": 0.2, "oks_threshold": 0.9},
        evaluation={"batch_size": 128},
    )
