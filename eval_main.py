"""Predicts the poses of a split and scores them.

python eval_main.py --config=configs/two_stage_resnet50_coco.py --workdir=runs/resnet50_coco --output_dir=results
"""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

from absl import flags
from ml_collections import config_flags

from tfpose.command_line import run_program

_CONFIG = config_flags.DEFINE_config_file("config", None, "The experiment; see configs/.", lock_config=True)
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the training run whose weights are evaluated.")
_OUTPUT_DIR = flags.DEFINE_string("output_dir", None, "Folder for predictions and metrics.json.")
_WEIGHTS = flags.DEFINE_enum("weights", "best", ["best", "last"], "Which weights of the run.")
_SPLIT = flags.DEFINE_string("split", None, "Split of the data; default: the config's validation split.")
_BOXES = flags.DEFINE_string(
    "boxes", "ground_truth", "Where people are: 'ground_truth', or a file of COCO results or PoseTrack detections."
)
_FORMAT = flags.DEFINE_enum("format", "2018", ["2017", "2018"], "Of PoseTrack predictions.")
_INFER_HEAD_JOINTS = flags.DEFINE_bool(
    "infer_head_joints", False, "PoseTrack output of a network with COCO's joints: guess head_bottom and head_top."
)
_NUM_PICTURES = flags.DEFINE_integer("num_pictures", 0, "How many images to draw the poses over.", lower_bound=0)
flags.mark_flags_as_required(["config", "workdir", "output_dir"])


def main(argv: Sequence[str]) -> None:
    """Predicts, writes, scores."""
    del argv
    # After the flags are parsed: TensorFlow takes seconds to import, --help should not.
    from tfpose import __version__
    from tfpose.data.records import read_table
    from tfpose.inference import results
    from tfpose.inference.keypoint_system import read_keypoint_system, with_settings
    from tfpose.inference.person_keypoints import (
        build_keypoint_function,
        poses_by_image,
        predict_people,
        read_boxes,
    )
    from tfpose.inference.person_scores import count_correct_keypoints, score_poses
    from tfpose.models.batch_norm import fold_batch_norm
    from tfpose.skeletons import POSETRACK15
    from tfpose.training.checkpoints import load_for_inference

    config = _CONFIG.value
    output_dir = pathlib.Path(_OUTPUT_DIR.value)
    system = read_keypoint_system(_WORKDIR.value)
    system = with_settings(system, config.inference.to_dict(), config.selection.to_dict())
    split = _SPLIT.value or config.data.validation_split
    table = read_table(config.data.directory, split)
    boxes = read_boxes(table, _BOXES.value, config.evaluation.box_score_threshold)
    network = system.build_network()
    weights = load_for_inference(network, pathlib.Path(_WORKDIR.value), _WEIGHTS.value)
    print(f"{weights}: {len(boxes)} boxes ({boxes.source}) in {table.num_images} images of {split}")

    find_keypoints = build_keypoint_function(fold_batch_norm(network), system)
    batch_size = config.evaluation.batch_size
    keypoints, joint_scores = predict_people(find_keypoints, table, boxes, system, batch_size, show_progress=True)
    poses = poses_by_image(table, boxes, keypoints, joint_scores, system)

    metrics = {"coco": score_poses(table, poses, system.skeleton)}
    counts = count_correct_keypoints(table, boxes, keypoints, system.skeleton)
    metrics |= {name: results.describe_correct_keypoints(count, system.skeleton) for name, count in counts.items()}
    metrics["provenance"] = results.describe_provenance(
        table, boxes.source, split, system, weights=str(weights), version=__version__
    )
    skeleton = system.skeleton
    has_videos = any(table.images["sequence"])
    if _INFER_HEAD_JOINTS.value and has_videos:
        poses = [results.infer_head_joints(people, skeleton) for people in poses]
        skeleton = POSETRACK15
    if has_videos:
        results.write_posetrack_predictions(output_dir / "predictions", table, poses, skeleton, _FORMAT.value)
    else:
        results.write_coco_predictions(output_dir / "predictions.json", table, poses)
    if _NUM_PICTURES.value:
        threshold = system.selection.joint_threshold
        results.write_pictures(output_dir / "pictures", table, poses, skeleton, _NUM_PICTURES.value, threshold)
    path = results.write_metrics(output_dir, metrics)
    print(results.format_metrics(metrics))
    print(f"written: {path}")


if __name__ == "__main__":
    run_program(main)
