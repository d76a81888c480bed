r"""The person detector of Honda et al., 2018: Keypoint R-CNN, ResNeXt-101-32x8d, on COCO.

He et al., "Mask R-CNN", 2017, section 5; Xie et al., "Aggregated Residual Transformations for Deep Neural Networks",
2017; settings of Detectron2's `keypoint_rcnn_X_101_32x8d_FPN_3x`. Training starts from Detectron's ImageNet network
X-101-32x8d.pkl; to use the published weights instead, see `tfpose pretrained --help`.

    tfpose build coco_keypoints --source COCO_DIR --output data
    tfpose train --config=keypoint_rcnn_x101_coco --workdir=runs/keypoint_rcnn_x101 \
        --config.initialize.trunk=X-101-32x8d.pkl

Hardware: the published run used 8 GPUs with 16 GB each, 16 images per step, 0.74 s per step and 55 hours. Time and
score have not been measured with this library; Detectron2 reports 57.3 box AP and 66.0 keypoint AP on val2017. With
fewer images per step, lower the learning rate and raise the number of steps in proportion. For PoseTrack, start from a
COCO run with --config.initialize.source_workdir.
"""

import ml_collections

from tfpose.systems import build_config


def get_config() -> ml_collections.ConfigDict:
    """Returns the config of the experiment."""
    return build_config(
        system="keypoint_rcnn",
        data={"directory": "data/coco_keypoints"},
        network={
            "blocks_per_stage": (3, 4, 23, 3),
            "inner_width": 256,
            "num_groups": 32,
            "stride_in": "3x3",
            "pixel_std": (57.375, 57.12, 58.395),
            "shortest_edge": 800,
            "longest_edge": 1333,
            "proposals": {"iou_threshold": 0.7, "max_proposals": 1000},
            "training_proposals": {"iou_threshold": 0.7, "max_proposals": 1500},
            "detections": {"iou_threshold": 0.5, "max_detections": 100, "score_threshold": 0.05},
        },
        input={"shortest_edges": (640, 672, 704, 736, 768, 800), "longest_edge": 1333, "mirror_probability": 0.5},
        sampling={"num_anchors": 256, "num_positive_anchors": 128, "num_proposals": 512, "num_positive_proposals": 128},
        initialize={"trunk": "", "from_scratch": False},
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
