"""Keypoint network of the two-stage system: ViTPose-B from COCO fine-tuned on PoseTrack 2018, 256x192.

The authors of ViTPose publish no training on PoseTrack. This config takes the published network, with joints matched by
name, and the schedule that MMPose published for HRNet: 20 epochs, a tenth of the learning rate after 10 and 15 of them.
The optimizer is ViTPose's (see two_stage_vitpose_base_coco), with a tenth of its learning rate, because the weights are
trained already. The heatmaps of head_bottom and head_top start from random weights.

    tfpose build posetrack18 --source POSETRACK18_DIR --output data
    tfpose train --config=two_stage_vitpose_base_posetrack18 --workdir=runs/vitpose_base_posetrack18

The steps are 20 epochs of 97,000 people, an estimate. For exactly 20 epochs of your files, set run.total_steps to
20 * people / 512, with the people that tfpose build counts, and the drops to a half and three quarters of it.
To start from your own run on COCO, add --config.initialize.source_workdir=runs/vitpose_base_coco.

Hardware: this config has not been run, so time and score are not known.
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
            "name": "pose_vit",
            "width": 768,
            "depth": 12,
            "num_heads": 12,
            "input_size": (256, 192),
            "drop_path_rate": 0.3,
        },
        crop={"margin_pixels": 0.0, "margin_scale": 1.25, "convention": "udp"},
        augmentation={
            "mirror_probability": 0.5,
            "rotation_degrees": 40.0,
            "rotation_probability": 0.6,
            "scale_range": (0.5, 1.5),
            "half_body_probability": 0.3,
        },
        target={"sigma_cells": 2.0, "centers": "subcell", "cutoff_sigmas": 3.0},
        initialize={"source_workdir": "vitpose_base"},
        batch_size=512,
        optimization={
            "learning_rate": 5e-5,
            "learning_rate_drops": ((1_900, 0.1), (2_850, 0.1)),
            "warmup_steps": 100,
            "warmup_factor": 0.001,
            "optimizer": "adamw",
            "weight_decay": 0.1,
            "decay_offsets": False,
            "layer_decay": 0.75,
            "gradient_clip_norm": 1.0,
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
        inference={"use_flip_test": True, "shift_one_cell": False, "decoding": "udp", "blur_kernel": 11},
        selection={"joint_threshold": 0.2, "oks_threshold": 0.9},
        evaluation={"batch_size": 64},
    )
