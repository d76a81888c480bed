"""The demo's person detector: a small Keypoint R-CNN for boxes only on synthetic videos, trained on two CPU cores.

Differences from the published networks: it trains from scratch, so it has batch normalization and no frozen layers.
Images of 480x270 are resized to 320x180. Anchors are small and as slim as people. The trunk is narrow and has few
bottlenecks.

Measured in one run on the 120 unseen videos of the demo's data: box AP50 95.2 and AP 60.8 after 20 minutes of processor
time on two cores. With its boxes (--box_score_threshold=0.5) the demo's keypoint network reached a PoseTrack mAP of
84.5 and a MOTA of 68.7. Its results with the annotated boxes are in two_stage_resnet18_synthetic.py.

    tfpose build synthetic --output data --num_train_videos=3000 --num_frames=1 --num_unseen_frames=8
    tfpose train --config=keypoint_rcnn_synthetic --workdir=runs/keypoint_rcnn_synthetic
"""

import ml_collections

from tfpose.systems import build_config


def get_config() -> ml_collections.ConfigDict:
    """Returns the config of the experiment."""
    return build_config(
        system="keypoint_rcnn",
        data={"directory": "data/synthetic"},
        network={
            "blocks_per_stage": (1, 2, 3, 2),
            "stem_width": 16,
            "inner_width": 16,
            "outer_width": 32,
            "stride_in": "3x3",
            "normalization": "batch",
            "num_frozen_stages": 0,
            "pyramid_width": 32,
            "anchor_sizes": (32.0, 46.0, 66.0, 96.0, 140.0),
            "anchor_ratios": (1.7, 2.8, 4.5),
            "box_head_width": 128,
            "keypoint_head_widths": (),
            "pixel_std": (57.375, 57.12, 58.395),
            "shortest_edge": 180,
            "longest_edge": 320,
            "proposals": {"iou_threshold": 0.7, "max_per_level": 100, "max_proposals": 50},
            "training_proposals": {"iou_threshold": 0.7, "max_per_level": 200, "max_proposals": 100},
            "detections": {"iou_threshold": 0.5, "max_detections": 20, "score_threshold": 0.05},
        },
        input={
            "shortest_edges": (160, 170, 180),
            "longest_edge": 320,
            "padded_size": (192, 320),
            "mirror_probability": 0.5,
            "keeps_unlabeled": True,
            "has_ignored_regions": True,
        },
        sampling={"num_anchors": 64, "num_positive_anchors": 32, "num_proposals": 48, "num_positive_proposals": 16},
        initialize={"trunk": "", "from_scratch": True},
        batch_size=8,
        optimization={
            "learning_rate": 2e-3,
            "learning_rate_drops": (),
            "cosine_steps": 4000,
            "warmup_steps": 50,
            "momentum": 0.9,
            "weight_decay": 0.0,
            "ema_decay": 0.99,
        },
        run={
            "total_steps": 4000,
            "log_every": 50,
            "checkpoint_every": 500,
            "max_to_keep": 2,
            "evaluate_every": 1000,
            "best_metric": "box_AP",
            "pictures_every": 2000,
        },
        evaluation={"batch_size": 8},
    )
