"""Inference of the single heatmap network of Payer et al. 2017, section 2: from whole frames to poses.

`predict_peaks` is the one inference function of evaluation, prediction and the SavedModel. It calls the network in two
parts:

- frame network: normalized images [B, H, W, 3] -> a dict of `head_maps` [B, h, w, 1], `joint_maps` [B, h, w, J] and
  `person_features` [B, h, w, C];
- person network: person_features [P, h, w, C], masked head maps [P, h, w, 1], joint_maps [P, h, w, J] -> joint maps of
  one person each [P, h, w, J].
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable

import numpy as np
import tensorflow as tf
from keras import ops
from tqdm import tqdm

from tfpose import geometry
from tfpose.boxes import around_keypoints
from tfpose.data.picture_tensors import read_frame
from tfpose.data.pictures import broken_picture
from tfpose.data.records import RecordTable
from tfpose.data.step_batches import dataset_of_arrays, iterate_dataset
from tfpose.frame_fit import FrameFit
from tfpose.heatmaps import decode_heatmaps
from tfpose.inference.frame_peaks import (
    Peaks,
    Refinement,
    SingleNetworkSettings,
    apply_thresholds,
    select_people,
)
from tfpose.inference.head_detection import find_heads
from tfpose.messages import describe_error
from tfpose.models.pose_unet import mask_heads, normalize_images
from tfpose.poses import Poses
from tfpose.posetrack.sequences import POSETRACK_BOX_MARGIN

FrameNetwork = Callable[[tf.Tensor], dict[str, tf.Tensor]]
PersonNetwork = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]
FoundPeaks = dict[str, tf.Tensor]
_DECODING: dict[Refinement, str] = {"none": "peak", "quadratic": "quadratic"}


def predict_peaks(
    frame_network: FrameNetwork,
    person_network: PersonNetwork,
    images: tf.Tensor,
    image_from_heatmap: tf.Tensor,
    settings: SingleNetworkSettings,
) -> FoundPeaks:
    """Finds the heads of frames and the joints that belong to each; runs eagerly and in graphs.

    The frame network runs once. The person network runs on one chunk after another of the heads of all frames.

    Args:
        frame_network: First part of the network, see the module.
        person_network: Second part of the network, see the module.
        images: Fitted frames, [B, H, W, 3] uint8 RGB.
        image_from_heatmap: Matrices from heatmap cells to pixels of each original frame, [B, 2, 3] float64.
        settings: Choice of heads, refinement of joints and size of chunks. The thresholds of joints and people are not
            applied.

    Returns:
        For the M heads of all frames, sorted by frame and falling strength: `frame` [M] int32, `heads` [M, 2] int32
        cells, `head_scores` [M], `keypoints` [M, J, 2] float64 in original pixels, `joint_scores` [M, J].
    """
    maps = frame_network(normalize_images(images))
    frames, heads, head_scores = find_heads(maps["head_maps"], settings)
    cells, joint_scores = _predict_joints(person_network, maps, frames, heads, settings)
    to_image = tf.gather(image_from_heatmap, frames)
    return {
        "frame": frames,
        "heads": heads,
        "head_scores": head_scores,
        "keypoints": geometry.transform_points(to_image, tf.cast(cells, to_image.dtype)),
        "joint_scores": joint_scores,
    }


def predict_people(
    frame_network: FrameNetwork,
    person_network: PersonNetwork,
    images: tf.Tensor,
    image_from_heatmap: tf.Tensor,
    settings: SingleNetworkSettings,
) -> dict[str, tf.Tensor]:
    """Finds people as `predict_peaks` and `select_people` do, as one graph; the arguments are those of `predict_peaks`.

    Returns:
        `keypoints` [B, P, J, 3] float32 (x, y in original pixels, score; score 0 for dropped joints), `boxes`
        [B, P, 4], `scores` [B, P] and `num_persons` [B] int32. P is the largest number of people of a frame; the rows
        beyond `num_persons` are zeros.
    """
    found = predict_peaks(frame_network, person_network, images, image_from_heatmap, settings)
    is_person, joint_scores, scores = apply_thresholds(ops.cast(found["joint_scores"], "float64"), settings, ops)
    rows = tf.where(is_person)[:, 0]
    frames, keypoints, joint_scores, scores = (
        tf.gather(values, rows) for values in (found["frame"], found["keypoints"], joint_scores, scores)
    )
    people = tf.concat([keypoints, joint_scores[..., None]], axis=-1)
    boxes = around_keypoints(keypoints, joint_scores > 0, POSETRACK_BOX_MARGIN, xp=ops)
    columns = {"keypoints": people, "boxes": boxes, "scores": scores}
    counts = tf.math.bincount(frames, minlength=tf.shape(images)[0], maxlength=tf.shape(images)[0])
    padded = {
        name: tf.RaggedTensor.from_row_lengths(tf.cast(values, tf.float32), counts).to_tensor()
        for name, values in columns.items()
    }
    return {**padded, "num_persons": counts}


def build_peak_function(
    frame_network: FrameNetwork, person_network: PersonNetwork, fit: FrameFit, settings: SingleNetworkSettings
) -> Callable[[np.ndarray, np.ndarray], FoundPeaks]:
    """Compiles `predict_peaks` as a function of fitted frames [B, H, W, 3] uint8 and their original sizes [B, 2]."""

    @tf.function(
        input_signature=[tf.TensorSpec((None, *fit.input_size, 3), tf.uint8), tf.TensorSpec((None, 2), tf.int64)],
        autograph=False,
    )
    def find_peaks(images: tf.Tensor, image_sizes: tf.Tensor) -> FoundPeaks:
        return predict_peaks(frame_network, person_network, images, fit.image_from_heatmap(image_sizes), settings)

    return find_peaks


def predict_frames(
    frame_network: FrameNetwork,
    person_network: PersonNetwork,
    table: RecordTable,
    fit: FrameFit,
    settings: SingleNetworkSettings,
    batch_size: int = 8,
    show_progress: bool = False,
) -> list[Poses]:
    """Finds the people in every image of a table.

    Args:
        frame_network: First part of the network, see the module.
        person_network: Second part of the network, see the module.
        table: Records.
        fit: How frames become the network's input.
        settings: Thresholds.
        batch_size: Number of frames that go through the network at once.
        show_progress: Draw a progress bar on the terminal.

    Returns:
        Poses in original pixels for each image of the table.

    Raises:
        ValueError: A record is damaged, or a picture cannot be decoded; names it.
    """
    find_peaks = build_peak_function(frame_network, person_network, fit, settings)
    peaks = predict_table_peaks(find_peaks, table, fit, batch_size, show_progress=show_progress)
    return [select_people(of_image, settings) for of_image in peaks]


def predict_table_peaks(
    find_peaks: Callable[[np.ndarray, np.ndarray], FoundPeaks],
    table: RecordTable,
    fit: FrameFit,
    batch_size: int = 8,
    part: slice = slice(None),
    show_progress: bool = False,
) -> list[Peaks]:
    """Finds the peaks in the images of a table; the other arguments are those of `predict_frames`.

    Args:
        find_peaks: Function from `build_peak_function`. A search of thresholds builds it with its lowest
            `head_threshold`, `head_distance_cells` 0 and `max_people` 0, see `select_people`.
        table: Records.
        fit: How frames become the network's input.
        batch_size: Number of frames that go through the network at once.
        part: Images of the table in which it looks for people.
        show_progress: Draw a progress bar on the terminal.

    Raises:
        ValueError: A record is damaged, or a picture cannot be decoded; names it.
    """
    peaks: list[Peaks] = []
    num_frames = len(range(table.num_images)[part])
    with tqdm(total=num_frames, unit=" frames", desc="poses", disable=not show_progress) as bar:
        for batch in iterate_dataset(frame_batches(table, fit, batch_size, part)):
            found = find_peaks(batch["images"], batch["image_sizes"])
            peaks += split_peaks(found, len(batch["images"]))
            bar.update(len(batch["images"]))
    return peaks


def split_peaks(found: FoundPeaks, num_frames: int) -> list[Peaks]:
    """Splits the result of `predict_peaks` by frame."""
    arrays = {name: np.asarray(values) for name, values in found.items()}
    bounds = np.searchsorted(arrays.pop("frame"), np.arange(num_frames + 1))
    return [
        Peaks(**{name: values[start:stop] for name, values in arrays.items()})
        for start, stop in itertools.pairwise(bounds)
    ]


def frame_batches(table: RecordTable, fit: FrameFit, batch_size: int, part: slice = slice(None)) -> tf.data.Dataset:
    """Reads the images of a part of a table in their order, fitted; the last batch may be shorter.

    Returns:
        Batches of `images` [B, H, W, 3] uint8 and `image_sizes` [B, 2] int64 (height, width). The dataset fails at a
        damaged record and at a picture that cannot be decoded.
    """
    sizes = table.sizes(slice(None)).astype(np.int64)
    images = range(table.num_images)[part]
    read = _build_frame_reader(fit)

    def load(start: int) -> dict[str, np.ndarray]:
        rows = np.array(images[start : start + batch_size])
        with tf.device("CPU"):
            pictures = [_read_record_frame(table, int(row), read) for row in rows]
        return {"images": np.stack(pictures), "image_sizes": sizes[rows]}

    shapes = {"images": ((None, *fit.input_size, 3), tf.uint8), "image_sizes": ((None, 2), tf.int64)}
    return dataset_of_arrays(load, shapes, tf.data.Dataset.range(0, len(images), batch_size))


@functools.lru_cache(maxsize=8)
def _build_frame_reader(fit: FrameFit) -> Callable[[bytes], tuple[tf.Tensor, tf.Tensor]]:
    """Compiles `read_frame` once for all tables; TensorFlow warns about graphs that are built again and again."""
    return tf.function(lambda data: read_frame(data, fit), [tf.TensorSpec([], tf.string)], autograph=False)


def _read_record_frame(
    table: RecordTable, row: int, read: Callable[[bytes], tuple[tf.Tensor, tf.Tensor]]
) -> np.ndarray:
    size = table.sizes(row)
    try:
        frame, found = (values.numpy() for values in read(table.read_image_bytes(row)))
    except tf.errors.InvalidArgumentError as error:
        raise broken_picture(table.describe(row), size, describe_error(error)) from error
    if not np.array_equal(found, size):
        raise broken_picture(table.describe(row), size, f"it is of {found[1]}x{found[0]} pixels")
    return frame


def _predict_joints(
    person_network: PersonNetwork,
    maps: dict[str, tf.Tensor],
    frames: tf.Tensor,
    heads: tf.Tensor,
    settings: SingleNetworkSettings,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns joints [M, J, 2] in cells and the maxima of their maps [M, J], chunk by chunk of the heads."""
    joints = maps["joint_maps"].shape[-1]

    def predict_chunk(start: tf.Tensor, cells: tf.Tensor, scores: tf.Tensor) -> tuple[tf.Tensor, ...]:
        part = slice(start, start + settings.people_per_chunk)
        head_maps, joint_maps, features = (
            tf.gather(maps[name], frames[part]) for name in ("head_maps", "joint_maps", "person_features")
        )
        masked = mask_heads(head_maps, heads[part], settings.head_mask_sigma_cells)
        person_maps = person_network(features, masked, joint_maps)
        found = decode_heatmaps(person_maps, _DECODING[settings.refine])
        return part.stop, tf.concat([cells, found[0]], 0), tf.concat([scores, found[1]], 0)

    _, cells, scores = tf.while_loop(
        lambda start, *_: start < tf.shape(frames)[0],
        predict_chunk,
        (tf.constant(0), tf.zeros([0, joints, 2]), tf.zeros([0, joints])),
        shape_invariants=(tf.TensorShape([]), tf.TensorShape([None, joints, 2]), tf.TensorShape([None, joints])),
        parallel_iterations=1,
    )
    return cells, scores
