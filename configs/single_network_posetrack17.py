"""The single heatmap network as published, on PoseTrack 2017.

Payer, Neff, Bischof, Urschler and Stern, "Simultaneous Multi-Person Detection and Single-Person Pose Estimation With a
Single Heatmap Regression Network", 2017. The paper reports on the validation set mAP 53.9 and MOTA 36.8, MOTP 50.3,
precision 73.2, recall 61.7. Not trained with this library. What the paper leaves silent
is in `tfpose.models.pose_unet.PoseUnetSettings` and `tfpose.data.frame_augmentation.FrameAugmentation`.

    python -m data_prep.build posetrack17 --source POSETRACK17_DIR --output data
    python train_main.py --config=configs/single_network_posetrack17.py --workdir=runs/single_network
"""

import ml_collections
from ml_collections.config_dict import placeholder


def get_config() -> ml_collections.ConfigDict:
    return ml_collections.ConfigDict(
        {
            "system": "single_network",
            "seed": 0,
            "skeleton": "",
            "data": {"directory": "data/posetrack17", "train_split": "train", "validation_split": "val"},
            "network": {
                "input_size": (512, 896),
                "width": 128,
                "person_width": 128,
                "width_growth": 1.0,
                "stem_widths": (128, 128),
                "stem_downsampling": "pool",
                "num_levels": 6,
                "convolutions_per_block": 2,
                "normalization": "none",
                "synchronize_batch_norm": False,
                "head_mask_sigma_cells": 4.0,
                "heatmap_init_stddev": placeholder(float),
                "filter_init_bias": 0.0,
                "l2": 0.00025,
                "share_first_convolution": True,
            },
            "augmentation": {
                "mirror_probability": 0.5,
                "translation_pixels": 100.0,
                "rotation_degrees": 45.0,
                "scale_range": (0.5, 1.5),
                "scale_convention": "magnify",
                "intensity_shift": 0.25,
                "intensity_scale": 0.25,
            },
            "examples": {"persons_per_image": 1, "outside_joint_weight": 1.0},
            "target": {"sigma_cells": 2.0, "centers": "subcell", "cutoff_sigmas": placeholder(float)},
            "loss": {"joint_map_weight": 0.0},
            "initialize": {"encoder": "", "keypoint_workdir": ""},
            "batch_size": 4,
            "strategy": "auto",
            "optimization": {
                "learning_rate": 5e-5,
                "learning_rate_drops": (),
                "cosine_steps": placeholder(int),
                "warmup_steps": 0,
                "gradient_clip_norm": placeholder(float),
                "ema_decay": placeholder(float),
                "accumulation_steps": 1,
                "precision": "float32",
                "jit_compile": False,
            },
            "run": {
                "total_steps": 1_000_000,
                "log_every": 100,
                "checkpoint_every": 5000,
                "max_to_keep": 2,
                "evaluate_every": 50_000,
                "best_metric": "AP",
                "pictures_every": 10_000,
            },
            "inference": {
                "head_threshold": 0.2,
                "head_distance_cells": 4.0,
                "joint_threshold": 0.3,
                "person_threshold": 3.0,
                "refine": "none",
                "use_flip_test": False,
                "max_people": 0,
                "people_per_chunk": 8,
            },
            "evaluation": {"batch_size": 4},
        }
    )
