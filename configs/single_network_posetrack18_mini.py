"""The single heatmap network overfits on one real video: a check of everything from records to MOTA.

The video has 28 labeled frames with 4 people, from a training sequence of PoseTrack 2018. The validation split is the
training split, so the score says nothing about other videos. The nose is not annotated, so its maps have weight 0. One
run took a minute and a half on one CPU core and reached mAP 96.2 and MOTA 92.7.

    tfpose build posetrack18 --source POSETRACK18_MINI_DIR --output data
    tfpose train --config=single_network_posetrack18_mini --workdir=runs/single_network_mini
    tfpose evaluate --config=single_network_posetrack18_mini --workdir=runs/single_network_mini \
        --output_dir=results
"""

import ml_collections

from tfpose.systems import build_config


def get_config() -> ml_collections.ConfigDict:
    """Returns the config of the experiment."""
    return build_config(
        system="single_network",
        data={"directory": "data/posetrack18", "validation_split": "train"},
        network={
            "input_size": (192, 320),
            "width": 32,
            "person_width": 32,
            "stem_widths": (16, 32),
            "stem_downsampling": "stride",
            "num_levels": 4,
            "convolutions_per_block": 2,
            "normalization": "batch",
            "head_mask_sigma_cells": 4.0,
            "heatmap_init_stddev": 0.001,
            "filter_init_bias": 1.0,
            "l2": 0.00025,
        },
        augmentation={
            "mirror_probability": 0.0,
            "translation_pixels": 0.0,
            "rotation_degrees": 0.0,
            "scale_range": (1.0, 1.0),
            "intensity_shift": 0.0,
            "intensity_scale": 0.0,
        },
        examples={"persons_per_image": 4},
        target={"sigma_cells": 2.0},
        initialize={"encoder": ""},
        batch_size=4,
        optimization={
            "learning_rate": 3e-3,
            "learning_rate_drops": (),
            "cosine_steps": 200,
            "warmup_steps": 20,
            "ema_decay": 0.98,
        },
        run={
            "total_steps": 200,
            "log_every": 25,
            "checkpoint_every": 100,
            "max_to_keep": 2,
            "evaluate_every": 200,
            "best_metric": "AP",
            "pictures_every": 200,
        },
        inference={
            "head_threshold": 0.2,
            "head_distance_cells": 4.0,
            "joint_threshold": 0.3,
            "person_threshold": 3.0,
            "refine": "quadratic",
            "use_flip_test": False,
            "people_per_chunk": 32,
        },
        tracker={"max_joint_distance_pixels": 200.0, "max_age_frames": 10},
        evaluation={"batch_size": 8},
    )
