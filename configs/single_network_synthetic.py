r"""The demo's single heatmap network: small, on synthetic videos, trained in minutes on two CPU cores.

Differences from the paper:

- The residual encoder-decoder of the two-stage system's keypoint network replaces the stem and the first U-Net, so that
  the demo can start from the weights that it has just trained (`initialize.keypoint_workdir`). From scratch, a network
  of this size needs many times as long to tell left from right.
- The second U-Net sees the features of the first network instead of those of the stem, and works at half the
  resolution, because its maps only choose among the joints.
- Batch normalization allows a high learning rate. The filter starts open. The joint maps are also trained on all people
  directly, not only through the product with the filter.
- There is little augmentation: in so few steps more of it costs 2.7 points of validation AP (after 800 steps).
- Muon replaces Adam (1 to 2 points after 1,700 steps), and a flip test adds 2 to 4 points of MOTA with its thresholds.

Measured by `make demo` on 120 unseen videos, with thresholds from 40 others, median and range
of three runs: PoseTrack mAP 77.3 (75.4 to 78.5), MOTA 64.4 (63.9 to 65.4).
With 16,000 training videos, batches of 16, 6,500 steps of Adam, `ema_decay` 0.998, shifts of 20 pixels, rotations of
10 degrees, scales of 0.85 to 1.2 and no flip test, one run reached mAP 86.9 and MOTA 77.4.

    tfpose build synthetic --output data --max_people=2 --num_train_videos=4000 --num_frames=1 \
        --num_unseen_frames=5
    tfpose train --config=two_stage_resnet18_synthetic --workdir=runs/synthetic
    tfpose train --config=single_network_synthetic --workdir=runs/single_network_synthetic \
        --config.initialize.keypoint_workdir=runs/synthetic
"""

import ml_collections

from tfpose.systems import build_config


def get_config() -> ml_collections.ConfigDict:
    """Returns the config of the experiment."""
    return build_config(
        system="single_network",
        data={"directory": "data/synthetic"},
        network={
            "input_size": (224, 384),
            "width": 64,
            "person_width": 32,
            "person_features": "frame",
            "person_stride": 2,
            "encoder_depth": 18,
            "encoder_width": 16,
            "num_levels": 4,
            "convolutions_per_block": 1,
            "normalization": "batch",
            "head_mask_sigma_cells": 4.0,
            "heatmap_init_stddev": 0.001,
            "filter_init_bias": 1.0,
            "l2": 0.00025,
        },
        augmentation={
            "mirror_probability": 0.5,
            "translation_pixels": 16.0,
            "rotation_degrees": 3.0,
            "scale_range": (0.95, 1.05),
            "intensity_shift": 0.1,
            "intensity_scale": 0.1,
        },
        examples={"persons_per_image": 2},
        target={"sigma_cells": 1.5},
        loss={"joint_map_weight": 1.0},
        initialize={"encoder": ""},
        batch_size=8,
        strategy="cpu_cores",
        optimization={
            "learning_rate": 4e-3,
            "learning_rate_drops": (),
            "cosine_steps": 1350,
            "warmup_steps": 30,
            "optimizer": "muon",
            "momentum": 0.95,
            "ema_decay": 0.99,
            "precision": "auto",
        },
        run={
            "total_steps": 1350,
            "log_every": 50,
            "checkpoint_every": 500,
            "max_to_keep": 2,
            "evaluate_every": 1350,
            "best_metric": "AP",
            "pictures_every": 1350,
        },
        inference={
            "head_threshold": 0.2,
            "head_distance_cells": 4.0,
            "joint_threshold": 0.3,
            "person_threshold": 3.0,
            "refine": "quadratic",
            "use_flip_test": True,
            "people_per_chunk": 32,
        },
        tracker={"max_joint_distance_pixels": 200.0, "max_age_frames": 10},
        evaluation={"batch_size": 8},
    )
