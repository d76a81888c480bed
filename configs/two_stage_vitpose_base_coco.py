"""Keypoint network of the two-stage system: ViTPose-B on COCO, 256x192.

Xu, Zhang, Zhang and Tao, "ViTPose: Simple Vision Transformer Baselines for Human Pose Estimation", 2022, section 4.1,
and the authors' code: AdamW 5e-4 for batches of 512, weight decay 0.1 except for biases, normalizations and positions,
the learning rate times 0.75 for each layer from the head down, gradients clipped to a norm of 1, stochastic depth 0.3,
500 steps of warm-up, a tenth of the learning rate after 170 and 200 of 210 epochs; unbiased crops (UDP) of boxes times
1.25, Gaussians of 2 cells. The steps are those of the 149,813 people of train2017. The encoder starts from a masked
autoencoder (He et al. 2021): download mae_pretrain_vit_base.pth from the repository facebookresearch/mae.

    tfpose build coco_keypoints --source COCO_DIR --output data
    tfpose train --config=two_stage_vitpose_base_coco --workdir=runs/vitpose_base_coco

The other sizes, as published:

| size  | network.width, depth, num_heads | network.drop_path_rate | optimization.layer_decay |
| ----- | ------------------------------- | ---------------------- | ------------------------ |
| small | 384, 12, 12                     | 0.1                    | 0.8                      |
| large | 1024, 24, 16                    | 0.5                    | 0.8                      |
| huge  | 1280, 32, 16                    | 0.55                   | 0.85                     |

For large and huge add --config.network.recompute=True if the memory does not suffice. For the simple decoder add
--config.network.decoder=simple.

Hardware: the published run used 8 A100 GPUs. This config has not been run, so time and score are not known. Published
score: 75.8 AP on COCO val2017 with detected boxes (the authors; MMPose reports 75.7).
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
        initialize={"encoder": "mae_pretrain_vit_base.pth"},
        batch_size=512,
        optimization={
            "learning_rate": 5e-4,
            "learning_rate_drops": ((49_700, 0.1), (58_500, 0.1)),
            "warmup_steps": 500,
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
            "total_steps": 61_400,
            "checkpoint_every": 1_000,
            "evaluate_every": 2_930,
            "best_metric": "AP",
            "pictures_every": 2_930,
        },
        inference={"use_flip_test": True, "shift_one_cell": False, "decoding": "udp", "blur_kernel": 11},
        selection={"joint_threshold": 0.2, "oks_threshold": 0.9},
        evaluation={"batch_size": 64},
    )
