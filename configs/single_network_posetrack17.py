"""The single heatmap network as published, on PoseTrack 2017.

Payer, Neff, Bischof, Urschler and Stern, "Simultaneous Multi-Person Detection and Single-Person Pose Estimation With a
Single Heatmap Regression Network", 2017. On the validation set the paper reports mAP 53.9, MOTA 36.8, MOTP 50.3,
precision 73.2 and recall 61.7. `tracker` holds the paper's t_pose_dist (`max_joint_distance_pixels`) and t_max_age
(`max_age_frames`). Settings that the paper does not give are explained in
`tfpose.models.pose_unet_settings.PoseUnetSettings` and `tfpose.data.frame_augmentation.FrameAugmentation`.

Hardware: meant for one GPU with 24 GB or more. Time and score have not been measured with this library.

    tfpose build posetrack17 --source POSETRACK17_DIR --output data
    tfpose train --config=single_network_posetrack17 --workdir=runs/single_network
"""

import ml_collections

from tfpose.systems import build_config


def get_config() -> ml_collections.ConfigDict:
    """Returns the config of the experiment."""
    return build_config(
        system="single_network",
        data={"directory": "data/posetrack17"},
        network={
            "input_size": (512, 896),
            "width": 128,
            "person_width": 128,
            "stem_widths": (128, 128),
            "num_levels": 6,
            "convolutions_per_block": 2,
            "head_mask_sigma_cells": 4.0,
            "l2": 0.00025,
        },
        augmentation={
            "mirror_probability": 0.5,
            "translation_pixels": 100.0,
            "rotation_degrees": 45.0,
            "scale_range": (0.5, 1.5),
            "intensity_shift": 0.25,
            "intensity_scale": 0.25,
        },
        examples={"persons_per_image": 1},
        target={"sigma_cells": 2.0},
        initialize={"encoder": ""},
        batch_size=4,
        optimization={"learning_rate": 5e-5, "learning_rate_drops": (), "warmup_steps": 0},
        run={
            "total_steps": 1_000_000,
            "checkpoint_every": 5000,
            "max_to_keep": 2,
            "evaluate_every": 50_000,
            "best_metric": "AP",
            "pictures_every": 10_000,
        },
        inference={
            "head_threshold": 0.2,
            "head_distance_cells": 4.0,
            "joint_threshold": 0.3,
            "person_threshold": 3.0,
            "use_flip_test": False,
            "people_per_chunk": 8,
        },
        tracker={"max_joint_distance_pixels": 200.0, "max_age_frames": 10},
        evaluation={"batch_size": 4},
    )
