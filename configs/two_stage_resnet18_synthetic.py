"""The demo's keypoint network: a narrow ResNet-18 on synthetic videos, trained in minutes on two CPU cores.

Many short videos are better than few long ones: what generalises is the number of different people. Targets of 1.5
cells, a narrower network with more steps and a cosine schedule each scored better than the paper's at equal time.
Measured on the videos of `make demo` (fewer props and larger people than the generator's defaults), 60 unseen ones,
ground-truth boxes: 82.8 COCO AP, 95.9 AP50, 95.9 PCK@0.2, after 4,000 steps.

python -m data_prep.build synthetic --output data
python train_main.py --config=configs/two_stage_resnet18_synthetic.py --workdir=runs/synthetic
"""

import ml_collections
from ml_collections.config_dict import placeholder


def get_config() -> ml_collections.ConfigDict:
    return ml_collections.ConfigDict(
        {
            "seed": 0,
            "skeleton": "",
            "data": {"directory": "data/synthetic", "train_split": "train", "validation_split": "val"},
            "network": {
                "depth": 18,
                "input_size": (128, 96),
                "stride_in": "3x3",
                "base_width": 24,
                "deconv_filters": 64,
            },
            "crop": {"margin_pixels": 0.0, "margin_scale": 1.1, "keep_aspect": True, "convention": "stride"},
            "normalization": {
                "mean": (0.485, 0.456, 0.406),
                "std": (0.229, 0.224, 0.225),
                "channel_order": "rgb",
            },
            "augmentation": {
                "mirror_probability": 0.5,
                "rotation_degrees": 10.0,
                "rotation_probability": 0.6,
                "scale_range": (0.92, 1.1),
                "shift": 0.02,
                "color_gain": 0.1,
            },
            "target": {"sigma_cells": 1.5, "centers": "subcell", "cutoff_sigmas": placeholder(float)},
            "loss": {"num_hard_joints": placeholder(int)},
            "initialize": {"encoder": "", "source_workdir": "", "from_scratch": True},
            "batch_size": 32,
            "strategy": "auto",
            "optimization": {
                "learning_rate": 4e-3,
                "learning_rate_drops": (),
                "cosine_steps": 4000,
                "warmup_steps": 100,
                "gradient_clip_norm": placeholder(float),
                "ema_decay": 0.998,
                "accumulation_steps": 1,
                "precision": "float32",
                "jit_compile": False,
            },
            "run": {
                "total_steps": 4000,
                "log_every": 50,
                "checkpoint_every": 1000,
                "max_to_keep": 2,
                "evaluate_every": 2000,
                "best_metric": "AP",
                "pictures_every": 2000,
            },
            "inference": {"use_flip_test": True, "shift_one_cell": True, "decoding": "dark", "blur_kernel": 7},
            "selection": {"joint_threshold": 0.2, "oks_threshold": 0.9},
            "evaluation": {"batch_size": 32, "box_score_threshold": 0.0},
        }
    )
