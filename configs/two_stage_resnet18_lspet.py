r"""A small keypoint network on LSPET: 9,000 sports photos with 14 joints of their own, on CPUs, from scratch.

One run took 48 minutes on two CPU cores at 75 to 90 images/s. Its PCK@0.2 on the 500 photos of `val` was 52.4, 57.2,
59.6, 60.9 and 60.9 % after 1,500, 3,000, 4,500, 6,000 and 7,500 steps. With Adam, no skip connections and targets of 2
cells, a narrower network reached 52.1 % after 55 minutes.

Johnson and Everingham, "Learning Effective Human Pose Estimation from Inaccurate Annotation", 2011 (data).

    tfpose build coco_keypoints --source LSPET_DIR --output data/lspet
    tfpose train --config=two_stage_resnet18_lspet --workdir=runs/lspet \
        --config.data.directory=data/lspet
"""

import ml_collections

from tfpose.systems import build_config


def get_config() -> ml_collections.ConfigDict:
    """Returns the config of the experiment."""
    return build_config(
        system="two_stage",
        data={"directory": "data/lspet"},
        network={
            "name": "pose_resnet",
            "depth": 18,
            "input_size": (128, 128),
            "stride_in": "3x3",
            "base_width": 40,
            "deconv_filters": 96,
            "skip_connections": True,
        },
        crop={"margin_pixels": 0.0, "margin_scale": 1.15},
        augmentation={
            "mirror_probability": 0.5,
            "rotation_degrees": 40.0,
            "rotation_probability": 0.6,
            "scale_range": (0.75, 1.25),
            "shift": 0.05,
            "color_gain": 0.2,
        },
        target={"sigma_cells": 1.5},
        initialize={"encoder": "", "from_scratch": True},
        batch_size=32,
        strategy="cpu_cores",
        optimization={
            "learning_rate": 0.012,
            "learning_rate_drops": (),
            "cosine_steps": 7500,
            "warmup_steps": 200,
            "optimizer": "muon",
            "momentum": 0.9,
            "ema_decay": 0.998,
            "precision": "auto",
        },
        run={
            "total_steps": 7500,
            "log_every": 50,
            "checkpoint_every": 500,
            "max_to_keep": 2,
            "evaluate_every": 1500,
            "best_metric": "PCK",
            "pictures_every": 3000,
        },
        inference={"use_flip_test": True, "shift_one_cell": True, "decoding": "quarter"},
        selection={"joint_threshold": 0.2, "oks_threshold": 0.9},
        evaluation={"batch_size": 32},
    )
