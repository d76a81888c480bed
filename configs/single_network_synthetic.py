"""The demo's single heatmap network: small, on synthetic videos, trained in minutes on two CPU cores.

As in single_network_posetrack17_fast.py the stem strides, batch normalisation bears a high learning rate, and the
filter starts open. Three people of interest per frame: the frame network's work is shared. A step takes 0.18 s on two
CPU cores of a quiet machine, the whole training about 4 minutes.

    python -m data_prep.build synthetic --output data
    python train_main.py --config=configs/single_network_synthetic.py --workdir=runs/single_network_synthetic
"""

import ml_collections
from ml_collections.config_dict import placeholder


def get_config() -> ml_collections.ConfigDict:
    return ml_collections.ConfigDict(
        {
            "system": "single_network",
            "seed": 0,
            "skeleton": "",
            "data": {"directory": "data/synthetic", "train_split": "train", "validation_split": "val"},
            "network": {
                "input_size": (128, 224),
                "width": 16,
                "person_width": 16,
                "width_growth": 2.0,
                "stem_widths": (16, 16),
                "stem_downsampling": "stride",
                "num_levels": 4,
                "convolutions_per_block": 2,
                "normalization": "batch",
                "synchronize_batch_norm": False,
                "head_mask_sigma_cells": 4.0,
                "heatmap_init_stddev": 0.001,
                "filter_init_bias": 1.0,
                "l2": 0.00025,
                "share_first_convolution": True,
            },
            "augmentation": {
                "mirror_probability": 0.5,
                "translation_pixels": 20.0,
                "rotation_degrees": 10.0,
                "scale_range": (0.85, 1.2),
                "scale_convention": "magnify",
                "intensity_shift": 0.1,
                "intensity_scale": 0.1,
            },
            "examples": {"persons_per_image": 2, "outside_joint_weight": 1.0},
            "target": {"sigma_cells": 1.5, "centers": "subcell", "cutoff_sigmas": placeholder(float)},
            "loss": {"joint_map_weight": 1.0},
            "batch_size": 8,
            "strategy": "auto",
            "optimization": {
                "learning_rate": 3e-3,
                "learning_rate_drops": (),
                "cosine_steps": 1200,
                "warmup_steps": 30,
                "gradient_clip_norm": placeholder(float),
                "ema_decay": 0.99,
                "accumulation_steps": 1,
                "precision": "float32",
                "jit_compile": False,
            },
            "run": {
                "total_steps": 1200,
                "log_every": 50,
                "checkpoint_every": 400,
                "max_to_keep": 2,
                "evaluate_every": 600,
                "best_metric": "AP",
                "pictures_every": 600,
            },
            "inference": {
                "head_threshold": 0.2,
                "head_distance_cells": 4.0,
                "joint_threshold": 0.3,
                "person_threshold": 3.0,
                "refine": "quadratic",
                "max_people": 0,
                "people_per_chunk": 32,
            },
            "evaluation": {"batch_size": 8},
        }
    )
