"""Input pipeline of the person detector: whole images at several scales, a pure function of (seed, step).

As in `person_crops` a step's batch is found by arithmetic, not by replay, so training resumes at any step at once and
one device sees the same global batch as many. A batch holds either wide or high images, so that little is padded.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import tensorflow as tf

from tfpose import geometry
from tfpose.data.pictures import broken_picture, decode_window
from tfpose.data.records import RecordTable
from tfpose.data.region_masks import draw_image_mask
from tfpose.data.resizing import resize_picture
from tfpose.data.step_batches import Shapes, StepBatches, pad_rows
from tfpose.messages import describe_error
from tfpose.models.keypoint_rcnn.ignored_areas import IGNORED_STRIDE, sum_ignored_cells
from tfpose.models.keypoint_rcnn.images import resized_size
from tfpose.models.keypoint_rcnn.settings import KEYPOINT_OFFSET, SIZE_MULTIPLE
from tfpose.skeletons import Skeleton


@dataclasses.dataclass(frozen=True)
class DetectionInput:
    """The choice and the sizes of a detector's training images. The defaults are Detectron2's for COCO keypoints.

    Attributes:
        shortest_edges: Lengths of the shorter side of the resized image in pixels; one is drawn for each image.
        longest_edge: Largest length of the longer side in pixels; has priority over `shortest_edges`.
        padded_size: (shorter, longer) side of a batch in pixels, which every image must fit into.
        mirror_probability: Probability of mirroring left to right.
        keeps_unlabeled: Whether images in which nobody has a labeled joint of the skeleton are used too.
        has_ignored_regions: Whether boxes in crowds and in the ignore regions of the dataset count as neither people
            nor background. Otherwise they count as background.
    """

    shortest_edges: tuple[int, ...] = (640, 672, 704, 736, 768, 800)
    longest_edge: int = 1333
    padded_size: tuple[int, int] = (800, 1344)
    mirror_probability: float = 0.5
    keeps_unlabeled: bool = False
    has_ignored_regions: bool = False

    def __post_init__(self) -> None:
        shorter, longer = self.padded_size
        rules = {
            "shortest_edges": (bool(self.shortest_edges) and min(self.shortest_edges) >= 1, "be at least 1 each"),
            "longest_edge": (self.longest_edge >= 1, "be at least 1"),
            "padded_size": (
                not (shorter % SIZE_MULTIPLE or longer % SIZE_MULTIPLE)
                and longer >= self.longest_edge
                and shorter >= min(max(self.shortest_edges, default=0), self.longest_edge),
                f"hold the largest image, in multiples of {SIZE_MULTIPLE}",
            ),
            "mirror_probability": (0 <= self.mirror_probability <= 1, "lie in [0, 1]"),
        }
        for field, (is_kept, rule) in rules.items():
            if not is_kept:
                raise ValueError(f"detection input: {field} must {rule}, got {getattr(self, field)!r}")


class DetectionImages(StepBatches):
    """The images of a split as training examples.

    People are those with a box, also without any labeled joint; crowds are none.

    Args:
        table: Records; images without annotations are left out.
        skeleton: Skeleton of the network. Joints are matched by name; joints that the records lack have weight 0.
        input_settings: Choice and sizes of the images.
        seed: Seed of the order, of the augmentation and of the sampling of boxes.

    Raises:
        ValueError: if no image is left, or none has a person.
    """

    def __init__(
        self, table: RecordTable, skeleton: Skeleton, input_settings: DetectionInput | None = None, seed: int = 0
    ) -> None:
        self.table, self.skeleton, self.seed = table, skeleton, seed
        self.input = input_settings or DetectionInput()
        keypoints, self.is_labeled = table.labeled_keypoints(skeleton)
        self.keypoints = keypoints.astype(np.float64)
        self.is_person = (table.people["is_crowd"] == 0) & (
            table.people["box"][:, 2:] > table.people["box"][:, :2]
        ).all(axis=1)
        self.rows = np.flatnonzero(self._is_used())
        self.sizes = table.sizes(slice(None))
        counts = np.add.reduceat(np.append(self.is_person, False), table.first_person[:-1], dtype=np.int64)
        counts[np.diff(table.first_person) == 0] = 0
        self.max_people = int(counts[self.rows].max(initial=0))
        if not self.max_people:
            raise ValueError(
                f"{table.shards[0].parent}: none of {table.num_images} images can be used: an annotated person with a "
                f"box and a labeled joint of skeleton {skeleton.name} is needed"
            )
        is_wide = self.sizes[self.rows, 1] >= self.sizes[self.rows, 0]
        self._groups = [group for group in (self.rows[is_wide], self.rows[~is_wide]) if len(group)]
        self._order = functools.lru_cache(maxsize=2)(self._shuffle)

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, step: int, global_batch_size: int, part: slice) -> dict[str, np.ndarray]:
        """Returns the examples `part` of the global batch of a step.

        Returns:
            As `examples`.
        """
        num_batches = sum(max(len(group) // global_batch_size, 1) for group in self._groups)
        epoch, position = divmod(int(step), num_batches)
        images = self._order(epoch, global_batch_size)[position]
        rng = np.random.default_rng([self.seed, int(step), 1])
        drawn = {
            "shortest_edges": rng.choice(self.input.shortest_edges, global_batch_size),
            "is_mirrored": rng.random(global_batch_size) < self.input.mirror_probability,
            "sample_seeds": rng.integers(2**31, size=(global_batch_size, 2), dtype=np.int32),
        }
        return self.examples(images[part], {name: values[part] for name, values in drawn.items()})

    def examples(self, images: np.ndarray, drawn: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns the examples of images of one orientation.

        Args:
            images: [B] rows of the table's images.
            drawn: Arrays shortest_edges [B], is_mirrored [B] and sample_seeds [B, 2].

        Returns:
            What `models.keypoint_rcnn.objective` asks for, in pixels of the resized images, where pixel i covers
            [i, i + 1], but images [B, H, W, 3] uint8 RGB with zeros to the right and below; and image [B], the rows
            again.
        """
        is_wide = bool(self.sizes[images[0], 1] >= self.sizes[images[0], 0])
        padded_size = self.input.padded_size if is_wide else self.input.padded_size[::-1]
        rows = zip(images, drawn["shortest_edges"], drawn["is_mirrored"], strict=True)
        examples = [self._example(*row, padded_size) for row in rows]
        return {
            **{name: np.stack([example[name] for example in examples]) for name in examples[0]},
            "sample_seeds": drawn["sample_seeds"],
            "image": np.asarray(images, np.int64),
        }

    def _is_used(self) -> np.ndarray:
        """Returns whether each image is used for training, [I] bool."""
        table = self.table
        is_used = table.images["is_labeled"] > 0
        if not self.input.keeps_unlabeled:
            is_shown = self.is_person & self.is_labeled.any(axis=1)
            is_used &= np.isin(np.arange(table.num_images), table.image_of_person[is_shown])
        return is_used

    def _example(
        self, image: int, shortest_edge: int, is_mirrored: bool, padded_size: tuple[int, int]
    ) -> dict[str, np.ndarray]:
        height, width = resized_size(self.sizes[image], shortest_edge, self.input.longest_edge, np).tolist()
        size = (height, width)
        picture = resize_picture(read_picture(self.table, image), size)
        canvas = np.zeros((*padded_size, 3), np.uint8)
        canvas[: size[0], : size[1]] = picture[:, ::-1] if is_mirrored else picture
        matrix = self._resized_from_image(image, size, is_mirrored)
        example: dict[str, np.ndarray] = {
            "images": canvas,
            "image_sizes": np.array(size, np.int32),
            **self._people(image, matrix, size),
        }
        if self.input.has_ignored_regions:
            example["ignored_sums"] = self._ignored_sums(image, matrix, padded_size)
        return example

    def _resized_from_image(self, image: int, size: tuple[int, int], is_mirrored: bool) -> np.ndarray:
        """Returns the map [2, 3] from image to resized pixels; pixel i covers [i, i + 1] in both."""
        zoom_y, zoom_x = np.array(size) / self.sizes[image]
        if is_mirrored:
            return np.array([[-zoom_x, 0, size[1]], [0, zoom_y, 0]])
        return np.array([[zoom_x, 0, 0], [0, zoom_y, 0]])

    def _people(self, image: int, matrix: np.ndarray, size: tuple[int, int]) -> dict[str, np.ndarray]:
        people = self.table.people_of(image)
        rows = people.start + np.flatnonzero(self.is_person[people.start : people.stop])
        is_mirrored = matrix[0, 0] < 0
        corners = geometry.transform_arrays(matrix, self.table.people["box"][rows].astype(np.float64).reshape(-1, 2, 2))
        corners = np.sort(np.clip(corners, 0, size[::-1]), axis=1)
        is_seen = (corners[:, 1] > corners[:, 0]).all(axis=1)
        rows, corners = rows[is_seen], corners[is_seen]
        order = self.skeleton.flip_order if is_mirrored else np.arange(self.skeleton.num_joints)
        keypoints = geometry.transform_arrays(matrix, self.keypoints[rows][:, order] + KEYPOINT_OFFSET)
        weights = self.is_labeled[rows][:, order]
        return {
            "boxes": pad_rows(corners.reshape(-1, 4), self.max_people),
            "person_weights": pad_rows(np.ones(len(rows)), self.max_people),
            # Joints without annotation have coordinates that mean nothing.
            "keypoints": pad_rows(np.where(weights[..., None], keypoints, 0.0), self.max_people),
            "joint_weights": pad_rows(weights, self.max_people),
        }

    def _ignored_sums(self, image: int, matrix: np.ndarray, padded_size: tuple[int, int]) -> np.ndarray:
        # The center of cell 0 lies half a cell from the border.
        cells_from_image = matrix / IGNORED_STRIDE - np.array([[0, 0, 0.5], [0, 0, 0.5]])
        height, width = padded_size
        cells_size = (height // IGNORED_STRIDE, width // IGNORED_STRIDE)
        return sum_ignored_cells(draw_image_mask(self.table, image, cells_from_image, cells_size) == 0)

    def example_shapes(self) -> Shapes:
        """Returns the shapes of `examples`, without the first axis."""
        # With both orientations the size varies from batch to batch.
        sides: tuple[int | None, ...] = (None, None)
        if len(self._groups) == 1:
            height, width = self.sizes[self._groups[0][0]]
            sides = self.input.padded_size if width >= height else self.input.padded_size[::-1]
        joints, people = self.skeleton.num_joints, self.max_people
        of_example: Shapes = {
            "images": ((*sides, 3), tf.uint8),
            "image_sizes": ((2,), tf.int32),
            "boxes": ((people, 4), tf.float32),
            "person_weights": ((people,), tf.float32),
            "keypoints": ((people, joints, 2), tf.float32),
            "joint_weights": ((people, joints), tf.float32),
            "sample_seeds": ((2,), tf.int32),
            "image": ((), tf.int64),
        }
        if self.input.has_ignored_regions:
            cells = tuple(side and side // IGNORED_STRIDE + 1 for side in sides)
            of_example["ignored_sums"] = (cells, tf.float32)
        return of_example

    def _shuffle(self, epoch: int, batch_size: int) -> np.ndarray:
        """Returns the rows of images of each batch, [N, batch_size]; images that fill no batch wait for other epochs.

        An orientation with fewer images than a batch fills one by repetition.
        """
        rng = np.random.default_rng([self.seed, epoch, 0])
        batches = [
            np.resize(rng.permutation(group), (max(len(group) // batch_size, 1), batch_size)) for group in self._groups
        ]
        return rng.permutation(np.concatenate(batches))


def read_picture(table: RecordTable, image: int) -> np.ndarray:
    """Reads a whole image of a table, [H, W, 3] uint8 RGB.

    Raises:
        ValueError: naming a picture that cannot be decoded or has another size than its record says.
    """
    size = table.sizes(image)
    try:
        with tf.device("CPU"):
            return decode_window(table.read_image_bytes(image), (0, 0, *size))
    except tf.errors.InvalidArgumentError as error:
        raise broken_picture(table.describe(image), size, describe_error(error)) from error
