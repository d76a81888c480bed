"""The person detector: Keypoint R-CNN with ResNet-50 and a feature pyramid on COCO keypoints.

He et al., "Mask R-CNN", 2017, section 5; settings of Detectron2's `keypoint_rcnn_R_50_FPN_3x`.

    tfpose build coco_keypoints --source COCO_DIR --output data
    tfpose train --config=keypoint_rcnn_r50_coco --workdir=runs/keypoint_rcnn_r50

Hardware: the published run used 8 GPUs with 16 GB each, 16 images per step, 0.32 s per step and 24 hours. Time and
score have not been measured with this library; Detectron2 reports 55.4 box AP and 65.5 keypoint AP on val2017. With
fewer images per step, lower the learning rate and raise the number of steps in proportion. The 1x schedule has 90,000
steps, with drops at 60,000 and 80,000. For PoseTrack, start from a COCO run with --config.initialize.source_workdir and
--config.initialize.trunk=''.
"""

import ml_collections

from tfpose.systems import build_config


def get_config() -> ml_collections.ConfigDict:
    """Returns the config of the experiment."""
    return build_config(
        system="keypoint_rcnn",
        data={"directory": "data/coco_keypoints"},
        network={
            "blocks_per_stage": (3, 4, 6, 3),
            "stride_in": "1x1",
            "shortest_edge": 800,
            "longest_edge": 1333,
            "proposals": {"iou_threshold": 0.7, "max_proposals": 1000},
            "training_proposals": {"iou_threshold": 0.7, "max_proposals": 1500},
            "detections": {"iou_threshold": 0.5, "max_detections": 100, "score_threshold": 0.05},
        },
        input={"shortest_edges": (640, 672, 704, 736, 768, 800), "longest_edge": 1333, "mirror_probability": 0.5},
        sampling={"num_anchors": 256, "num_positive_anchors": 128, "num_proposals": 512, "num_positive_proposals": 128},
        initialize={"trunk": "imagenet", "from_scratch": False},
        batch_size=16,
        optimization={
            "learning_rate": 0.02,
            "learning_rate_drops": ((210_000, 0.1), (250_000, 0.1)),
            "warmup_steps": 1000,
            "warmup_factor": 0.001,
            "optimizer": "sgd",
            "momentum": 0.9,
            "weight_decay": 1e-4,
        },
        run={
            "total_steps": 270_000,
            "checkpoint_every": 5_000,
            "evaluate_every": 30_000,
            "best_metric": "box_AP",
            "pictures_every": 10_000,
        },
        evaluation={"batch_size": 1},
    )
