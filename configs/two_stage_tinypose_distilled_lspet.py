r"""PP-TinyPose at 128x96 learns from PP-TinyPose at 256x192 on sports photos, without labels: LSPET, on CPUs.

The student starts from its own public weights and learns the teacher's heatmaps on the 8,500 photos of `train`. It
takes about a quarter of the teacher's time. Of the annotations of `train` it uses the boxes, and no joint. PCK@0.2 on
`val` counts the 12 joints that COCO and LSPET share.

PaddleDetection, configs/keypoint/tiny_pose, 2021. Hinton et al., "Distilling the Knowledge in a Neural Network", 2015.
Johnson and Everingham, "Learning Effective Human Pose Estimation from Inaccurate Annotation", 2011 (data).

    tfpose build coco_keypoints --source LSPET_DIR --output data/lspet
    tfpose train --config=two_stage_tinypose_distilled_lspet --workdir=runs/lspet_distilled \
        --config.data.directory=data/lspet

One run had a PCK of 60.3 at its end, and 56.0, 58.3, 58.9, 60.2 after 400, 800, 1,200 and 1,600 steps. The teacher
has 63.6, and the student's public weights have 56.6. With the labels in place of the teacher
(`--config.distillation.teacher= --config.distillation.weight=0`), one run had a PCK of 65.0 at its end, and 60.2, 62.4,
63.7, 64.5 after the same steps.

Hardware: a CPU. The run took 94 minutes of processor time, which are 47 minutes of two cores; that on the labels took
55 minutes of processor time.
"""

import ml_collections

from tfpose.systems import build_config


def get_config() -> ml_collections.ConfigDict:
    """Returns the config of the experiment."""
    return build_config(
        system="two_stage",
        skeleton="coco17",
        data={"directory": "data/lspet"},
        network={"name": "tinypose", "input_size": (128, 96)},
        crop={
            "margin_pixels": 0.0,
            "margin_scale": 1.15,
            "convention": "paddle",
            "clips_annotated_boxes": True,
            "reduces_images": False,
        },
        augmentation={
            "mirror_probability": 0.5,
            "rotation_degrees": 40.0,
            "rotation_probability": 0.6,
            "scale_range": (0.75, 1.25),
            "shift": 0.05,
            "color_gain": 0.2,
        },
        target={"sigma_cells": 1.0},
        initialize={"source_workdir": "tinypose_128x96"},
        distillation={"teacher": "tinypose_256x192", "weight": 1.0},
        batch_size=32,
        strategy="cpu_cores",
        optimization={
            "learning_rate": 1e-3,
            "learning_rate_drops": (),
            "cosine_steps": 2000,
            "warmup_steps": 100,
            "ema_decay": 0.99,
            "precision": "float32",
        },
        run={
            "total_steps": 2000,
            "log_every": 50,
            "checkpoint_every": 100,
            "max_to_keep": 2,
            "evaluate_every": 200,
            "best_metric": "PCK",
            "pictures_every": 1000,
        },
        inference={"use_flip_test": True, "shift_one_cell": True, "decoding": "dark", "blur_kernel": 3},
        selection={"joint_threshold": 0.2, "oks_threshold": 0.9},
        evaluation={"batch_size": 32},
    )
