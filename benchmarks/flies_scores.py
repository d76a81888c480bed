"""Scores the poses of the two flies: PCK@0.1 of the body, and MOTA with the same distance.

PoseTrack's metrics know 15 joints of people and measure in head sizes. Here each of the 13 joints of a fly takes the
place of one of these, and the head box is so large that half of the head size is a tenth of the fly's body, from head
to abdomen. Then all rules are PoseTrack's.

    python benchmarks/flies_scores.py FLIES_DIR/annotations/person_keypoints_val.json results/predictions.json
"""

from __future__ import annotations

import argparse
import json
import pathlib

import numpy as np

from tfpose.metrics.matching import head_sizes
from tfpose.metrics.posetrack import PoseTrackOptions, evaluate_sequences
from tfpose.posetrack import Frame, PoseSequence, build_frame
from tfpose.skeletons import POSETRACK15

SHARE_OF_BODY = 0.1
HEAD, ABDOMEN = 0, 2


def read_poses(entries: list[dict], field: str) -> dict[int, list[tuple[np.ndarray, int]]]:
    """Returns the keypoints [J, 3] and the track id of each fly, by image."""
    poses: dict[int, list[tuple[np.ndarray, int]]] = {}
    for entry in entries:
        keypoints = np.array(entry[field], np.float64).reshape(-1, 3)
        poses.setdefault(entry["image_id"], []).append((keypoints, entry.get("track_id", -1)))
    return poses


def head_boxes(keypoints: np.ndarray) -> np.ndarray:
    """Returns boxes [P, 4] of which half the head size is the tolerated distance."""
    bodies = np.linalg.norm(keypoints[:, HEAD, :2] - keypoints[:, ABDOMEN, :2], axis=-1)
    unit = head_sizes(np.array([[0.0, 0, 1, 1]]))[0]
    sides = 2 * SHARE_OF_BODY * bodies / unit
    return np.stack([0 * sides, 0 * sides, sides, sides], axis=1)


def frame_of(image: dict, index: int, poses: list[tuple[np.ndarray, int]], is_true: bool) -> Frame:
    """Returns a frame of PoseTrack; joints without a score or a label are not there."""
    keypoints = np.array([of_fly for of_fly, _ in poses]).reshape(len(poses), -1, 3)
    num_others = POSETRACK15.num_joints - keypoints.shape[1] if len(poses) else 0
    padded = np.pad(keypoints, ((0, 0), (0, num_others), (0, 0)))
    if not len(poses):
        padded = np.zeros((0, POSETRACK15.num_joints, 3))
    fields = {"head_boxes": head_boxes(keypoints)} if is_true and len(poses) else {"joint_scores": padded[..., 2]}
    return build_frame(
        image["file_name"],
        index,
        padded[..., :2],
        np.where(padded[..., 2] > 0, 2, 0),
        np.array([track for _, track in poses], np.int64),
        image_id=image["id"],
        is_labeled=True,
        **fields,
    )


def count_correct(true: dict, found: dict) -> np.ndarray:
    """Returns for each joint how many labels have a joint of the fly nearest to theirs in reach, and all labels."""
    counts = np.zeros((2, POSETRACK15.num_joints - 2))
    for image, flies in true.items():
        for keypoints, _ in flies:
            body = np.linalg.norm(keypoints[HEAD, :2] - keypoints[ABDOMEN, :2])
            is_labeled = keypoints[:, 2] > 0
            others = [pose for pose, _ in found.get(image, [])]
            errors = [np.linalg.norm(pose[:, :2] - keypoints[:, :2], axis=1) for pose in others]
            best = min(range(len(others)), key=lambda i: np.median(errors[i][is_labeled]), default=None)
            counts[1] += is_labeled
            if best is not None:
                counts[0] += is_labeled & (others[best][:, 2] > 0) & (errors[best] <= SHARE_OF_BODY * body)
    return counts


def main() -> None:
    """Prints PCK and MOTA."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("annotations", type=pathlib.Path)
    parser.add_argument("predictions", type=pathlib.Path)
    arguments = parser.parse_args()
    content = json.loads(arguments.annotations.read_text())
    true = read_poses(content["annotations"], "keypoints")
    found = read_poses(json.loads(arguments.predictions.read_text()), "keypoints")
    sequences = [
        PoseSequence(
            "flies",
            POSETRACK15,
            tuple(
                frame_of(image, index, poses.get(image["id"], []), poses is true)
                for index, image in enumerate(content["images"])
            ),
            arguments.annotations,
        )
        for poses in (true, found)
    ]
    correct, labeled = count_correct(true, found)
    joints = content["categories"][0]["keypoints"]
    print("PCK@0.1 of the body:", f"{100 * correct.sum() / labeled.sum():.1f} over all keypoints")
    print("  " + "  ".join(f"{name} {100 * c / n:.1f}" for name, c, n in zip(joints, correct, labeled, strict=True)))
    report = evaluate_sequences(sequences[:1], sequences[1:], PoseTrackOptions(("ap", "mot")))
    tracking = report.total.blocks["tracking"]
    print(f"MOTA {tracking.mota[-1]:.1f}, identity switches {int(tracking.counts.switches.sum())}")


if __name__ == "__main__":
    main()
