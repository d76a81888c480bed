r"""A small keypoint network that learns from a public network instead of labels: TinyPose teaches a ResNet-18 on LSPET.

The student has the teacher's 17 joints. It learns the teacher's heatmaps on the 8,500 photos of `train`. Of the
annotations of `train` it uses the boxes, and no joint. PCK@0.2 on `val` counts the 12 joints that COCO and LSPET share.

Hinton et al., "Distilling the Knowledge in a Neural Network", 2015. Johnson and Everingham, "Learning Effective Human
Pose Estimation from Inaccurate Annotation", 2011 (data).

    tfpose build coco_keypoints --source LSPET_DIR --output data/lspet
    tfpose train --config=two_stage_resnet18_distilled_lspet --workdir=runs/lspet_distilled \
        --config.data.directory=data/lspet

The same student on the labels: add --config.distillation.weight=0.0. The teacher alone:

    tfpose evaluate --config=two_stage_tinypose_256x192_coco --workdir=tinypose_256x192 --output_dir=results \
        --config.data.directory=data/lspet

Hardware: meant for an hour on two CPU cores. This config has not been run to its end, so time and score are not known.
"""

import ml_collections

from tfpose.systems import build_config


def get_config() -> ml_collections.ConfigDict:
    """Returns the config of the experiment."""
    return build_config(
        system="two_stage",
        skeleton="coco17",
        data={"directory": "data/lspet"},
        network={
            "name": "pose_resnet",
            "depth": 18,
            "input_size": (128, 96),
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
        target={"sigma_cells": 1.0},
        initialize={"encoder": "", "from_scratch": True},
        distillation={"teacher": "tinypose_256x192", "weight": 1.0},
        batch_size=32,
        strategy="cpu_cores",
        optimization={
            "learning_rate": 0.012,
            "learning_rate_drops": (),
            "cosine_steps": 5500,
            "warmup_steps": 200,
            "optimizer": "muon",
            "momentum": 0.9,
            "ema_decay": 0.998,
            "precision": "auto",
        },
        run={
            "total_steps": 5500,
            "log_every": 50,
            "checkpoint_every": 500,
            "max_to_keep": 2,
            "evaluate_every": 1100,
            "best_metric": "PCK",
            "pictures_every": 2750,
        },
        inference={"use_flip_test": True, "shift_one_cell": True, "decoding": "quarter"},
        selection={"joint_threshold": 0.2, "oks_threshold": 0.9},
        evaluation={"batch_size": 32},
    )
