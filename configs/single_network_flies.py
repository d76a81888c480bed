"""The single heatmap network on a video of two flies, with 13 joints of their own, on CPUs, from scratch.

A skeleton of one's own takes no more than a dataset in COCO's layout and a config like this one. The first half of the
video is for training, the second half for the evaluation. Flies walk in all directions, so frames are rotated by any
angle. The head of a fly is the middle of its head and its eyes.

Pereira et al., "SLEAP: A deep learning system for multi-animal pose tracking", 2022 (data).

    tfpose build coco_keypoints --source FLIES_DIR --output data/flies
    tfpose train --config=single_network_flies --workdir=runs/single_flies
    tfpose evaluate --config=single_network_flies --workdir=runs/single_flies --output_dir=results

Hardware: a CPU core. One run took 12 minutes beside other work. On the second half, 64.4 % of the joints lay within a
tenth of the body (head to abdomen), and MOTA with this distance was 17.7, with 14 switches of identity
(benchmarks/flies_scores.py). Heads and eyes are nearly always right, legs half of the time. In frames of 320x320 it was
53.1 % and 10.4; twice as many steps at 512x512 gave 66.3 % and 22.5. The two-stage system finds more, see
two_stage_flies.
"""

import ml_collections

from tfpose.systems import build_config


def get_config() -> ml_collections.ConfigDict:
    """Returns the config of the experiment."""
    return build_config(
        system="single_network",
        data={"directory": "data/flies/coco_keypoints"},
        network={
            "input_size": (512, 512),
            "width": 24,
            "person_width": 24,
            "stem_widths": (8, 16),
            "stem_downsampling": "stride",
            "num_levels": 4,
            "convolutions_per_block": 1,
            "normalization": "batch",
            "head_mask_sigma_cells": 6.0,
            "heatmap_init_stddev": 0.001,
            "filter_init_bias": 1.0,
            "l2": 0.00025,
        },
        augmentation={
            "mirror_probability": 0.5,
            "translation_pixels": 32.0,
            "rotation_degrees": 180.0,
            "scale_range": (0.9, 1.1),
            "intensity_shift": 0.1,
            "intensity_scale": 0.1,
        },
        examples={"persons_per_image": 2},
        target={"sigma_cells": 1.5},
        loss={"joint_map_weight": 1.0},
        initialize={"encoder": ""},
        batch_size=4,
        optimization={
            "learning_rate": 4e-3,
            "learning_rate_drops": (),
            "cosine_steps": 800,
            "warmup_steps": 30,
            "optimizer": "muon",
            "momentum": 0.95,
            "ema_decay": 0.99,
            "precision": "auto",
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
        inference={
            "head_threshold": 0.2,
            "head_distance_cells": 6.0,
            "joint_threshold": 0.1,
            "person_threshold": 2.0,
            "refine": "quadratic",
            "use_flip_test": False,
            "people_per_chunk": 32,
        },
        tracker={"max_joint_distance_pixels": 200.0, "max_age_frames": 10},
        evaluation={"batch_size": 8},
    )
