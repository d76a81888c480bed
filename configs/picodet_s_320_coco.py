"""The small person detector: PicoDet-S on COCO, 320x320, for phones and CPUs.

Yu et al., "PP-PicoDet: A Better Real-Time Object Detector on Mobile Devices", 2021, sections 3.3 and 4.1: SimOTA,
varifocal loss, distribution focal loss and generalized overlap; SGD with momentum 0.9 and weight decay 4e-5, learning
rate 0.4 for batches of 640 along half a cosine, 300 epochs, averaged weights. The network is that of PaddleDetection's
pedestrian detectors. The steps are 300 epochs of the 64,115 images of train2017 with people. Differences: parts of
images are shown at any aspect ratio, and all batches have one size.

    tfpose build coco_keypoints --source COCO_DIR --output data
    tfpose train --config=picodet_s_320_coco --workdir=runs/picodet
    tfpose evaluate --config=picodet_s_320_coco --workdir=runs/picodet --output_dir=results
    tfpose predict clip.mp4 --model=runs/two_stage --detector=runs/picodet --output=results

Hardware: the published run used 8 GPUs. This config has not been run, so time and score are not known. PaddleDetection
reports 41.6 person box AP on COCO val2017 with more training data. To start from a converted public checkpoint, add
--config.initialize.source_workdir=DIR --config.initialize.from_scratch=False.
On a CPU add --config.optimization.precision=float32 --config.optimization.jit_compile=False.
"""

import ml_collections

from tfpose.systems import build_config


def get_config() -> ml_collections.ConfigDict:
    """Returns the config of the experiment."""
    return build_config(
        system="picodet",
        data={"directory": "data/coco_keypoints"},
        network={"input_size": (320, 320)},
        input={"smallest_part": 0.3, "part_probability": 0.5, "mirror_probability": 0.5, "color_gain": 0.2},
        initialize={"from_scratch": True},
        batch_size=640,
        optimization={
            "learning_rate": 0.4,
            "cosine_steps": 30_000,
            "warmup_steps": 300,
            "warmup_factor": 0.1,
            "optimizer": "sgd",
            "momentum": 0.9,
            "weight_decay": 4e-5,
            "gradient_clip_norm": 35.0,
            "ema_decay": 0.9998,
            "precision": "mixed_bfloat16",
            "jit_compile": True,
        },
        run={
            "total_steps": 30_000,
            "checkpoint_every": 1_000,
            "evaluate_every": 3_000,
            "best_metric": "box_AP",
            "pictures_every": 3_000,
        },
    )
