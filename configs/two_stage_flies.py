"""A small keypoint network on a video of two flies, with 13 joints of their own, on CPUs, from scratch.

A skeleton of one's own takes no more than a dataset in COCO's layout and a config like this one. The first half of the
video is for training, the second half for the evaluation. Flies walk in all directions, so crops are rotated by any
angle.

Pereira et al., "SLEAP: A deep learning system for multi-animal pose tracking", 2022 (data).

    tfpose build coco_keypoints --source FLIES_DIR --output data/flies
    tfpose train --config=two_stage_flies --workdir=runs/flies
    tfpose evaluate --config=two_stage_flies --workdir=runs/flies --output_dir=results

Hardware: a CPU core. One run took 14 minutes on a part of a busy core. On the second half, 83.0 % of the joints lay
within a tenth of the body (head to abdomen), and MOTA with this distance was 62.8, without a switch of identity
(benchmarks/flies_scores.py). Head and eyes are nearly always right. Wings, legs and abdomens are often not, because the
flies of the second half stand in poses that the first half does not show: there, no wing is turned more than 15 degrees
away from the body, but in the second half the male turns a wing by 38 to 86 degrees in a quarter of the frames. More
training does not help: in another run, of a wider network on every frame of the first half, the AP on the second half
fell from 78.2 after 1,000 steps to 76.3 after 4,000 (83.5 % of the joints after 1,000).
"""

import ml_collections

from tfpose.systems import build_config


def get_config() -> ml_collections.ConfigDict:
    """Returns the config of the experiment."""
    return build_config(
        system="two_stage",
        data={"directory": "data/flies/coco_keypoints"},
        network={
            "name": "pose_resnet",
            "depth": 18,
            "input_size": (128, 128),
            "stride_in": "3x3",
            "base_width": 16,
            "deconv_filters": 48,
            "skip_connections": True,
        },
        crop={"margin_pixels": 0.0, "margin_scale": 1.15},
        augmentation={
            "mirror_probability": 0.5,
            "rotation_degrees": 180.0,
            "rotation_probability": 1.0,
            "scale_range": (0.85, 1.15),
            "shift": 0.05,
            "color_gain": 0.2,
        },
        target={"sigma_cells": 1.5},
        initialize={"encoder": "", "from_scratch": True},
        batch_size=16,
        optimization={
            "learning_rate": 0.012,
            "learning_rate_drops": (),
            "cosine_steps": 800,
            "warmup_steps": 50,
            "optimizer": "muon",
            "momentum": 0.9,
            "ema_decay": 0.99,
        },
        run={
            "total_steps": 800,
            "log_every": 50,
            "checkpoint_every": 200,
            "max_to_keep": 2,
            "evaluate_every": 400,
            "best_metric": "AP",
            "pictures_every": 800,
        },
        inference={"use_flip_test": True, "shift_one_cell": True, "decoding": "dark", "blur_kernel": 7},
        evaluation={"batch_size": 32},
    )
