r"""A small keypoint network on LSPET: 9,000 sports photos with 14 joints of their own, on CPUs, from scratch.

Its steps take 48 minutes on two cores at 75 to 90 images/s. PCK@0.2 on the 500 photos of `val` after 1,500, 3,000,
4,500, 6,000 and 7,500 steps: 52.4, 57.2, 59.6, 60.9, 60.9 %. With Adam, without skip connections and with maps of
2 cells, a narrower network had 52.1 % after 55 minutes.

Johnson and Everingham, "Learning Effective Human Pose Estimation from Inaccurate Annotation", 2011 (data).

    python -m data_prep.build coco_keypoints --source LSPET_DIR --output data/lspet
    python train_main.py --config=configs/two_stage_resnet18_lspet.py --workdir=runs/lspet \\
        --config.data.directory=data/lspet
"""

import ml_collections
from ml_collections.config_dict import placeholder


def get_config() -> ml_collections.ConfigDict:
    return ml_collections.ConfigDict(
        {
            "seed": 0,
            "skeleton": "",
            "data": {"directory": "data/lspet", "train_split": "train", "validation_split": "val"},
            "network": {
                "depth": 18,
                "input_size": (128, 128),
                "stride_in": "3x3",
                "base_width": 40,
                "deconv_filters": 96,
                "skip_connections": True,
            },
            "crop": {"margin_pixels": 0.0, "margin_scale": 1.15, "keep_aspect": True, "convention": "stride"},
            "normalization": {
                "mean": (0.485, 0.456, 0.406),
                "std": (0.229, 0.224, 0.225),
                "channel_order": "rgb",
            },
            "augmentation": {
                "mirror_probability": 0.5,
                "rotation_degrees": 40.0,
                "rotation_probability": 0.6,
                "scale_range": (0.75, 1.25),
                "shift": 0.05,
                "color_gain": 0.2,
            },
            "target": {"sigma_cells": 1.5, "centers": "subcell", "cutoff_sigmas": placeholder(float)},
            "loss": {"num_hard_joints": placeholder(int)},
            "initialize": {"encoder": "", "source_workdir": "", "from_scratch": True},
            "batch_size": 32,
            "strategy": "cpu_cores",
            "optimization": {
                "learning_rate": 0.012,
                "optimizer": "muon",
                "momentum": 0.9,
                "learning_rate_drops": (),
                "cosine_steps": 7500,
                "warmup_steps": 200,
                "gradient_clip_norm": placeholder(float),
                "ema_decay": 0.998,
                "accumulation_steps": 1,
                "precision": "auto",
                "jit_compile": False,
            },
            "run": {
                "total_steps": 7500,
                "log_every": 50,
                "checkpoint_every": 500,
                "max_to_keep": 2,
                "evaluate_every": 1500,
                "best_metric": "PCK",
                "pictures_every": 3000,
            },
            "inference": {"use_flip_test": True, "shift_one_cell": True, "decoding": "quarter", "blur_kernel": 11},
            "selection": {"joint_threshold": 0.2, "oks_threshold": 0.9},
            "evaluation": {"batch_size": 32, "box_score_threshold": 0.0},
        }
    )
