"""Keypoint network of the two-stage system: ViTPose-B fine-tuned on your own data with your own joints.

Any dataset in COCO's layout; the skeleton comes from its file. Joints with the names of COCO's joints start from the
published weights, the others from random ones. Two thousand steps suffice for some hundred labeled images, if the
validation metric no longer rises at the end; else train longer. The learning rate and the batch are smaller than in
two_stage_vitpose_base_coco, because the network is trained already and the dataset is small.

    tfpose build coco_keypoints --source MY_DIR --output data/animals
    tfpose train --config=two_stage_vitpose_base_custom --workdir=runs/animals --config.data.directory=data/animals
    tfpose evaluate --config=two_stage_vitpose_base_custom --workdir=runs/animals --output_dir=results

The evaluation needs --config.data.directory=data/animals too.

Hardware: this config has not been run on a GPU, so time and score are not known. If the memory does not suffice,
add --config.optimization.accumulation_steps=4.
On a CPU add --config.optimization.precision=float32 --config.optimization.jit_compile=False.
"""

import ml_collections

from tfpose.systems import build_config


def get_config() -> ml_collections.ConfigDict:
    """Returns the config of the experiment."""
    return build_config(
        system="two_stage",
        data={"directory": "data/animals"},
        network={
            "name": "pose_vit",
            "width": 768,
            "depth": 12,
            "num_heads": 12,
            "input_size": (256, 192),
            "decoder": "simple",
            "drop_path_rate": 0.1,
        },
        crop={"margin_pixels": 0.0, "margin_scale": 1.25, "convention": "udp"},
        augmentation={
            "mirror_probability": 0.5,
            "rotation_degrees": 40.0,
            "rotation_probability": 0.6,
            "scale_range": (0.5, 1.5),
        },
        target={"sigma_cells": 2.0, "centers": "subcell", "cutoff_sigmas": 3.0},
        initialize={"source_workdir": "vitpose_base_simple"},
        batch_size=64,
        optimization={
            "learning_rate": 2e-4,
            "learning_rate_drops": (),
            "cosine_steps": 2_000,
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
            "total_steps": 2_000,
            "log_every": 20,
            "checkpoint_every": 250,
            "evaluate_every": 250,
            "best_metric": "AP",
            "pictures_every": 250,
        },
        inference={"use_flip_test": True, "shift_one_cell": False, "decoding": "udp", "blur_kernel": 11},
        selection={"joint_threshold": 0.2, "oks_threshold": 0.9},
        evaluation={"batch_size": 64},
    )
