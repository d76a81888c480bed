"""A small PicoDet on the demo's synthetic videos, trained from scratch in minutes on a CPU.

Not run to its end: box AP50 on the validation videos was 28.8 after 200 and 47.2 after 400 of the 800 steps, and box
AP 8.6 and 15.9, 13 minutes on a part of a busy CPU core.

    tfpose build synthetic --output data --num_train_videos=3000 --num_frames=1 --num_unseen_frames=8
    tfpose train --config=picodet_synthetic --workdir=runs/picodet_synthetic
    tfpose evaluate --config=picodet_synthetic --workdir=runs/picodet_synthetic --output_dir=results
"""

import ml_collections

from tfpose.systems import build_config


def get_config() -> ml_collections.ConfigDict:
    """Returns the config of the experiment."""
    return build_config(
        system="picodet",
        data={"directory": "data/synthetic"},
        network={"input_size": (128, 256), "width": 48, "scale": 0.35},
        input={"smallest_part": 0.5, "part_probability": 0.3, "mirror_probability": 0.5, "color_gain": 0.2},
        initialize={"from_scratch": True},
        batch_size=16,
        optimization={
            "learning_rate": 2e-3,
            "cosine_steps": 800,
            "warmup_steps": 50,
            "gradient_clip_norm": 35.0,
            "ema_decay": 0.99,
        },
        run={
            "total_steps": 800,
            "log_every": 50,
            "checkpoint_every": 200,
            "max_to_keep": 2,
            "evaluate_every": 200,
            "best_metric": "box_AP",
            "pictures_every": 800,
        },
    )
