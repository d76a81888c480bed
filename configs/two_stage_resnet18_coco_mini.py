"""A small keypoint network that learns a few dozen COCO photos by heart: shows that every part of the road works.

No augmentation, and the validation split is the training split: the figure says nothing about other photos.

    python -m data_prep.build coco_keypoints --source COCO_MINI_DIR --output data/coco_mini
    python train_main.py --config=configs/two_stage_resnet18_coco_mini.py --workdir=runs/coco_mini
"""

import ml_collections
from ml_collections.config_dict import placeholder


def get_config() -> ml_collections.ConfigDict:
    return ml_collections.ConfigDict(
        {
            "seed": 0,
            "skeleton": "",
            "data": {"directory": "data/coco_mini", "train_split": "train", "validation_split": "train"},
            "network": {
                "depth": 18,
                "input_size": (128, 96),
                "stride_in": "3x3",
                "base_width": 32,
                "deconv_filters": 128,
            },
            "crop": {"margin_pixels": 0.0, "margin_scale": 1.25, "keep_aspect": True, "convention": "stride"},
            "normalization": {
                "mean": (0.485, 0.456, 0.406),
                "std": (0.229, 0.224, 0.225),
                "channel_order": "rgb",
            },
            "augmentation": {
                "mirror_probability": 0.0,
                "rotation_degrees": 0.0,
                "rotation_probability": 0.6,
                "scale_range": (1.0, 1.0),
                "shift": 0.0,
                "color_gain": 0.0,
            },
            "target": {"sigma_cells": 1.5, "centers": "subcell", "cutoff_sigmas": placeholder(float)},
            "loss": {"num_hard_joints": placeholder(int)},
            "initialize": {"encoder": "", "source_workdir": "", "from_scratch": True},
            "batch_size": 32,
            "strategy": "auto",
            "optimization": {
                "learning_rate": 1e-3,
                "learning_rate_drops": ((600, 0.3), (850, 0.1)),
                "warmup_steps": 50,
                "gradient_clip_norm": placeholder(float),
                "ema_decay": placeholder(float),
                "accumulation_steps": 1,
                "precision": "float32",
                "jit_compile": False,
            },
            "run": {
                "total_steps": 1000,
                "log_every": 50,
                "checkpoint_every": 500,
                "max_to_keep": 2,
                "evaluate_every": 250,
                "best_metric": "AP",
                "pictures_every": 250,
            },
            "inference": {"use_flip_test": False, "shift_one_cell": True, "decoding": "dark", "blur_kernel": 7},
            "selection": {"joint_threshold": 0.2, "oks_threshold": 0.9},
            "evaluation": {"batch_size": 32, "box_score_threshold": 0.0},
        }
    )
