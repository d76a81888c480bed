"""Trains the keypoint network on the JAX backend of Keras, from crops held in device memory.

Network, crops, heatmaps, losses, decoding and metrics are those of the library, which TensorFlow also trains with; only
the loop is JAX's. So the benchmark measures their speed on an accelerator, compares precisions, and tries training
recipes without TensorFlow. It needs JAX (`pip install jax`, for a GPU `pip install "jax[cuda13]"`) besides keras, numpy
and opencv-python-headless.

The data have the layout of COCO: DATA/annotations/person_keypoints_{train,val}.json and DATA/images/{train,val}. A
square around every person is cut once, large enough for every augmented crop; the augmentation is one bilinear warp on
the device.

    python benchmarks/jax_training.py --data DIR --depth 50 --precision mixed_bfloat16
    python benchmarks/jax_training.py --data DIR --vary learning_rate=5e-4,1e-3,2e-3
    python benchmarks/jax_training.py --data DIR --check_precision
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import itertools
import math
import os
import pathlib
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")

import cv2
import jax
import jax.numpy as jnp
import keras
import numpy as np

from tfpose import crops as crop_math
from tfpose import geometry
from tfpose.coco import PersonAnnotations, read_person_annotations
from tfpose.crops import CropSettings, Normalization
from tfpose.data.augmentation import Augmentation, draw_augmentation
from tfpose.heatmaps import encode_heatmaps
from tfpose.inference.two_stage import KeypointSettings, predict_keypoints
from tfpose.json_files import write_json
from tfpose.losses import mean_heatmap_loss
from tfpose.metrics.keypoints import CorrectKeypoints, pck, torso_diagonals
from tfpose.models.heatmap_network import HEATMAP_LAYER
from tfpose.models.pose_resnet import POSE_RESNET_STRIDE, build_pose_resnet
from tfpose.skeletons import Skeleton

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
SCHEDULES = ("drops", "cosine")
# Shares of the run, as 90 and 120 of 140 epochs in Xiao et al., 2018, section 3.1.
DROPS_AT = (90 / 140, 120 / 140)
DROP_FACTOR = 0.1
CHECK_STEPS = 5
# A GPU may round the factors of float32 products to ten bits of mantissa, which costs tenths of a pixel.
COORDINATE_PRECISION = "float32"
REDUCED_FLAGS = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}


@dataclasses.dataclass(frozen=True)
class Recipe:
    """One training run; every field is a flag of the same name.

    Attributes:
        depth: Number of layers of the ResNet.
        base_width: Number of channels of the stem.
        deconv_filters: Number of channels of each transposed convolution.
        crop_height: Height of the crop in pixels, a multiple of 32.
        crop_width: Width of the crop in pixels, a multiple of 32.
        margin_scale: Factor on the box.
        sigma_cells: Standard deviation of the target Gaussians in heatmap cells.
        rotation_degrees: Largest rotation in degrees to either side.
        rotation_probability: Probability of a rotation.
        scale_low: Smallest scale of the region relative to the box.
        scale_high: Largest scale of the region relative to the box.
        mirror_probability: Probability of mirroring.
        precision: Dtype policy of the network; mixed_float16 trains with dynamic loss scaling.
        batch_size: Number of people in a step.
        epochs: Number of passes over the training people.
        learning_rate: Learning rate of Adam after the warm-up.
        schedule: Either 'drops' to a tenth after 64 % and after 86 % of the run, or 'cosine' to zero.
        warmup_steps: Number of steps in which the learning rate rises from zero.
        decoding: Decoding of the heatmaps in validation, see `tfpose.heatmaps.decode_heatmaps`.
        seed: Seed of weights, order and augmentation.
    """

    depth: int = 50
    base_width: int = 64
    deconv_filters: int = 256
    crop_height: int = 256
    crop_width: int = 192
    margin_scale: float = 1.25
    sigma_cells: float = 2.0
    rotation_degrees: float = 40.0
    rotation_probability: float = 1.0
    scale_low: float = 0.7
    scale_high: float = 1.3
    mirror_probability: float = 0.5
    precision: str = "float32"
    batch_size: int = 64
    epochs: int = 20
    learning_rate: float = 1e-3
    schedule: str = "drops"
    warmup_steps: int = 100
    decoding: str = "dark"
    seed: int = 0

    def __post_init__(self) -> None:
        for name, known in (("precision", PRECISIONS), ("schedule", SCHEDULES)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}")
        for name in ("batch_size", "epochs", "learning_rate", "margin_scale"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")

    @property
    def crop(self) -> CropSettings:
        """Settings of the crop."""
        return CropSettings((self.crop_height, self.crop_width), margin_scale=self.margin_scale)

    @property
    def heatmap_size(self) -> tuple[int, int]:
        """(height, width) of the heatmaps in cells."""
        return self.crop_height // POSE_RESNET_STRIDE, self.crop_width // POSE_RESNET_STRIDE

    @property
    def augmentation(self) -> Augmentation:
        """Settings of the augmentation."""
        return Augmentation(
            mirror_probability=self.mirror_probability,
            rotation_degrees=self.rotation_degrees,
            rotation_probability=self.rotation_probability,
            scale_range=(self.scale_low, self.scale_high),
        )


@dataclasses.dataclass(frozen=True)
class People:
    """The people of a split, each in a square of its own.

    Coordinates are pixels of the squares. A square shows the image upright at the scale of the person's crop without
    augmentation, so sizes relative to the person are those in the image.

    Attributes:
        squares: [N, S, S, 3] uint8 RGB.
        boxes: [N, 4] float32 xyxy.
        keypoints: [N, J, 2] float32, 0 where not labeled.
        is_labeled: [N, J] bool.
        skeleton: Skeleton of the keypoints.
    """

    squares: np.ndarray
    boxes: np.ndarray
    keypoints: np.ndarray
    is_labeled: np.ndarray
    skeleton: Skeleton

    def __len__(self) -> int:
        return len(self.squares)


@dataclasses.dataclass
class TrainingState:
    """Arrays of the network and the optimizer, in the order of their variables."""

    trainable: list[jax.Array]
    non_trainable: list[jax.Array]
    optimizer: list[jax.Array]


jax.tree_util.register_dataclass(TrainingState)


@functools.lru_cache(maxsize=2)
def load_people(data: pathlib.Path, split: str, crop: CropSettings, largest_scale: float, limit: int | None) -> People:
    """Cuts the squares of a split.

    Args:
        data: Folder in the layout of COCO.
        split: Either 'train' or 'val'.
        crop: Settings of the crop; margin_pixels must be 0.
        largest_scale: Largest scale of the augmentation.
        limit: Number of people to take; None takes all with a labeled joint.

    Raises:
        FileNotFoundError: There is no such annotation file, or a photo cannot be decoded.
        ValueError: The annotations are not valid, or have no person with a labeled joint.
    """
    annotations = read_person_annotations(data / "annotations" / f"person_keypoints_{split}.json")
    is_used = (annotations.visibility > 0).any(axis=1) & ~annotations.is_crowd
    rows = np.flatnonzero(is_used)[:limit]
    if not len(rows):
        raise ValueError(f"{annotations.path}: no person has a labeled joint")
    matrices, side = _square_from_image(annotations.boxes[rows], crop, largest_scale)
    corners = annotations.boxes[rows].reshape(-1, 2, 2)
    return People(
        squares=_cut_squares(data / "images" / split, annotations, rows, matrices, side),
        boxes=_to_squares(matrices, corners).reshape(-1, 4),
        keypoints=_to_squares(matrices, annotations.keypoints[rows]),
        is_labeled=annotations.visibility[rows] > 0,
        skeleton=annotations.skeleton,
    )


def _square_from_image(boxes: np.ndarray, crop: CropSettings, largest_scale: float) -> tuple[np.ndarray, int]:
    """Maps [N, 2, 3] from image to square, and the side of a square that contains the crop at any rotation."""
    height, width = crop.crop_size
    side = math.ceil(math.hypot(height, width) * largest_scale)
    with jax.default_matmul_precision(COORDINATE_PRECISION):
        matrices = np.array(crop.matrices(boxes.astype(np.float32)), np.float64)
    matrices[:, :, 2] += np.array([side - width, side - height]) / 2
    return matrices, side


def _to_squares(matrices: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Maps points [N, K, 2] by matrices [N, 2, 3] to [N, K, 2] float32."""
    mapped = points @ matrices[:, :, :2].swapaxes(1, 2) + matrices[:, None, :, 2]
    return mapped.astype(np.float32)


def _cut_squares(
    folder: pathlib.Path,
    annotations: PersonAnnotations,
    rows: np.ndarray,
    matrices: np.ndarray,
    side: int,
) -> np.ndarray:
    """Cuts squares [N, S, S, 3] uint8 RGB from photos, each decoded at the scale that the crop needs."""
    image_of_person = np.repeat(np.arange(annotations.num_images), np.diff(annotations.first_person))
    reductions = np.array(crop_math.decode_reduction(matrices.astype(np.float32)))
    to_full = np.array(crop_math.image_from_reduced(reductions), np.float64)
    linear, offsets = matrices[:, :, :2], matrices[:, :, 2:]
    square_from_photo = linear @ to_full + np.pad(offsets, ((0, 0), (0, 0), (2, 0)))
    squares = np.empty((len(rows), side, side, 3), np.uint8)

    def cut(position: int) -> None:
        path = folder / annotations.file_names[image_of_person[rows[position]]]
        flags = REDUCED_FLAGS[int(reductions[position])] | cv2.IMREAD_IGNORE_ORIENTATION
        photo = cv2.imread(str(path), flags)
        if photo is None:
            raise FileNotFoundError(f"{path}: no such photo, or it cannot be decoded")
        square = geometry.warp_image(photo, square_from_photo[position], (side, side))
        squares[position] = square[..., ::-1]

    with ThreadPoolExecutor() as pool:
        list(pool.map(cut, range(len(rows))))
    return squares


def sample_bilinear(images: jax.Array, matrices: jax.Array, size: tuple[int, int]) -> jax.Array:
    """`geometry.warp_image` for a batch, on the device.

    Args:
        images: [B, H, W, 3] uint8 images.
        matrices: [B, 2, 3] maps from pixels of each image to pixels of its result.
        size: (height, width) of the results.

    Returns:
        [B, height, width, 3] float32, whole numbers in [0, 255], zero outside of the image.
    """
    batch, height, width, channels = images.shape
    rows, columns = jnp.meshgrid(jnp.arange(size[0]), jnp.arange(size[1]), indexing="ij")
    targets = jnp.stack([columns, rows], axis=-1).reshape(1, -1, 2).astype(jnp.float32)
    points = geometry.transform_points(geometry.invert(matrices), targets)  # [B, h * w, 2]
    low = jnp.floor(points)
    flat = images.reshape(batch, height * width, channels)
    total = jnp.zeros((batch, points.shape[1], channels), jnp.float32)
    for corner in itertools.product((0, 1), repeat=2):
        x, y = (low[..., axis] + corner[axis] for axis in (0, 1))
        shares = 1 - jnp.abs(points - jnp.stack([x, y], axis=-1))
        is_inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        cell = jnp.where(is_inside, y * width + x, 0).astype(jnp.int32)
        values = jnp.take_along_axis(flat, cell[..., None], axis=1).astype(jnp.float32)
        total += jnp.where(is_inside, shares[..., 0] * shares[..., 1], 0.0)[..., None] * values
    return jnp.round(total).reshape(batch, *size, channels)


def build_examples(recipe: Recipe, flip_order: np.ndarray) -> Callable[..., tuple[jax.Array, ...]]:
    """The function from people and their augmentation to images, targets and weights."""
    normalization = Normalization()

    def examples(people: dict[str, jax.Array], drawn: dict[str, jax.Array]) -> tuple[jax.Array, jax.Array, jax.Array]:
        crop_from_square = recipe.crop.matrices(
            people["boxes"],
            scales=drawn["scales"],
            rotations_degrees=drawn["rotations_degrees"],
            is_mirrored=drawn["is_mirrored"],
        )
        is_mirrored = drawn["is_mirrored"][:, None]
        points = jnp.where(is_mirrored[..., None], people["keypoints"][:, flip_order], people["keypoints"])
        is_labeled = jnp.where(is_mirrored, people["is_labeled"][:, flip_order], people["is_labeled"])
        heatmap_from_crop = geometry.heatmap_from_crop(recipe.crop.crop_size, recipe.heatmap_size)
        crop_points = geometry.transform_points(crop_from_square, points)
        heatmaps, weights = encode_heatmaps(
            geometry.transform_points(heatmap_from_crop, crop_points),
            is_labeled,
            recipe.heatmap_size,
            recipe.sigma_cells,
        )
        crops = sample_bilinear(people["squares"], crop_from_square, recipe.crop.crop_size)
        return normalization(crops), heatmaps, weights

    return examples


def build_optimizer(recipe: Recipe, num_steps: int) -> keras.optimizers.Optimizer:
    """Adam with the schedule of the recipe over `num_steps`; it scales the loss for float16."""
    optimizer = keras.optimizers.Adam(RecipeSchedule(recipe, num_steps))
    if recipe.precision == "mixed_float16":
        return keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer


class RecipeSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """The learning rate of a recipe by step, counted from 0."""

    def __init__(self, recipe: Recipe, num_steps: int) -> None:
        self.recipe, self.num_steps = recipe, num_steps

    def __call__(self, step: Any) -> Any:
        """The learning rate of a step."""
        done = keras.ops.cast(step, "float32") / self.num_steps
        if self.recipe.schedule == "cosine":
            factor = (1 + keras.ops.cos(math.pi * keras.ops.minimum(done, 1.0))) / 2
        else:
            drops = sum(keras.ops.cast(done >= start, "float32") for start in DROPS_AT)
            factor = DROP_FACTOR**drops
        warmup = max(self.recipe.warmup_steps, 1)
        return (
            self.recipe.learning_rate * factor * keras.ops.minimum((keras.ops.cast(step, "float32") + 1) / warmup, 1.0)
        )


def build_train_step(
    model: keras.Model, optimizer: keras.optimizers.Optimizer, recipe: Recipe, skeleton: Skeleton
) -> Callable[..., tuple[TrainingState, jax.Array]]:
    """The compiled step: (state, people of the split, rows, drawn) -> (state, loss)."""
    examples = build_examples(recipe, skeleton.flip_order)

    def scaled_loss(
        trainable: list[jax.Array], state: TrainingState, images: jax.Array, targets: jax.Array, weights: jax.Array
    ) -> tuple[jax.Array, tuple[jax.Array, list[jax.Array]]]:
        heatmaps, non_trainable = model.stateless_call(trainable, state.non_trainable, images, training=True)
        loss = mean_heatmap_loss(targets, heatmaps, weights)
        mapping = list(zip(optimizer.variables, state.optimizer, strict=True))
        with keras.StatelessScope(state_mapping=mapping):
            scaled = optimizer.scale_loss(loss)
        return scaled, (loss, non_trainable)

    def train_step(
        state: TrainingState, people: dict[str, jax.Array], rows: jax.Array, drawn: dict[str, jax.Array]
    ) -> tuple[TrainingState, jax.Array]:
        chosen = {name: values[rows] for name, values in people.items()}
        with jax.default_matmul_precision(COORDINATE_PRECISION):
            images, targets, weights = examples(chosen, drawn)
        gradient = jax.grad(scaled_loss, has_aux=True)
        gradients, (loss, non_trainable) = gradient(state.trainable, state, images, targets, weights)
        trainable, moments = optimizer.stateless_apply(state.optimizer, gradients, state.trainable)
        return TrainingState(trainable, non_trainable, moments), loss

    return jax.jit(train_step, donate_argnums=0)


def build_predict(model: keras.Model, recipe: Recipe, skeleton: Skeleton) -> Callable[..., jax.Array]:
    """The compiled function from the arrays of the network and people to keypoints [B, J, 2]."""
    settings = KeypointSettings(use_flip_test=True, decoding=recipe.decoding)

    def predict(state: TrainingState, people: dict[str, jax.Array]) -> jax.Array:
        def network(images: jax.Array) -> jax.Array:
            return model.stateless_call(state.trainable, state.non_trainable, images)[0]

        with jax.default_matmul_precision(COORDINATE_PRECISION):
            crop_from_square = recipe.crop.matrices(people["boxes"])
            crops = sample_bilinear(people["squares"], crop_from_square, recipe.crop.crop_size)
            keypoints, _ = predict_keypoints(
                network,
                crops,
                crop_from_square,
                recipe.crop,
                Normalization(),
                skeleton.flip_order,
                settings,
            )
        return keypoints

    return jax.jit(predict)


def validate(
    predict: Callable[..., jax.Array], state: TrainingState, people: People, batch_size: int
) -> CorrectKeypoints:
    """PCK@0.2 of the torso diagonal, over the people who have a torso diagonal."""
    arrays = _arrays(people)
    predicted = []
    for start in range(0, len(people), batch_size):
        # The last batch repeats its last person, so that one compilation serves all.
        rows = np.minimum(np.arange(start, start + batch_size), len(people) - 1)
        chosen = {name: values[rows] for name, values in arrays.items()}
        predicted.append(np.asarray(predict(state, chosen)))
    keypoints = np.concatenate(predicted)[: len(people)]
    sizes = torso_diagonals(people.keypoints, people.is_labeled, people.skeleton)
    return pck(keypoints, people.keypoints, people.is_labeled, sizes, threshold=0.2)


def _arrays(people: People) -> dict[str, np.ndarray]:
    names = ("squares", "boxes", "keypoints", "is_labeled")
    return {name: getattr(people, name) for name in names}


def iterate_batches(recipe: Recipe, num_people: int) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
    """Yields rows [B] and the drawn augmentation of each step; every epoch has a new order."""
    rng = np.random.default_rng(recipe.seed)
    waiting = np.empty(0, np.int64)
    while True:
        while len(waiting) < recipe.batch_size:
            waiting = np.concatenate([waiting, rng.permutation(num_people)])
        rows, waiting = np.split(waiting, [recipe.batch_size])
        drawn = draw_augmentation(recipe.augmentation, recipe.batch_size, rng)
        names = ("scales", "rotations_degrees", "is_mirrored")
        yield rows, {name: np.asarray(drawn[name], _dtype(drawn[name])) for name in names}


def _dtype(values: np.ndarray) -> type:
    return np.bool_ if values.dtype == bool else np.float32


def build_network(recipe: Recipe, skeleton: Skeleton) -> keras.Model:
    """The network of the recipe; the initial weights depend on the seed and not on the precision."""
    keras.utils.set_random_seed(recipe.seed)
    return build_pose_resnet(
        skeleton.num_joints,
        recipe.depth,
        recipe.crop.crop_size,
        base_width=recipe.base_width,
        deconv_filters=recipe.deconv_filters,
        dtype=recipe.precision,
    )


def start_training(
    recipe: Recipe, skeleton: Skeleton, num_steps: int
) -> tuple[keras.Model, TrainingState, Callable[..., tuple[TrainingState, jax.Array]]]:
    """A new network, its state, and the step that trains it."""
    model = build_network(recipe, skeleton)
    optimizer = build_optimizer(recipe, num_steps)
    optimizer.build(model.trainable_variables)
    state = TrainingState(
        *(
            # Copies, since the step overwrites its input.
            [jnp.array(variable.value) for variable in variables]
            for variables in (
                model.trainable_variables,
                model.non_trainable_variables,
                optimizer.variables,
            )
        )
    )
    return model, state, build_train_step(model, optimizer, recipe, skeleton)


def train(
    recipe: Recipe,
    train_people: People,
    val_people: People,
    validate_every: int,
    max_seconds: float = math.inf,
) -> list[dict[str, Any]]:
    """Trains and prints one line per validation.

    Args:
        recipe: Recipe of the run.
        train_people: People to train on; they are moved to the device.
        val_people: People to validate on.
        validate_every: Number of epochs between validations; the last epoch always has one.
        max_seconds: Seconds of training after which the current epoch is the last; the schedule stays as it is.

    Returns:
        For each validation its epoch and step, the mean training loss since the previous one, images per second of
        training without compilation, seconds, and PCK over all keypoints and per joint.
    """
    steps_per_epoch = math.ceil(len(train_people) / recipe.batch_size)
    num_steps = recipe.epochs * steps_per_epoch
    model, state, train_step = start_training(recipe, train_people.skeleton, num_steps)
    predict = build_predict(model, recipe, train_people.skeleton)
    arrays = jax.device_put(_arrays(train_people))
    batches = iterate_batches(recipe, len(train_people))
    train_step = train_step.lower(state, arrays, *next(iterate_batches(recipe, 1))).compile()
    curve: list[dict[str, Any]] = []
    losses: list[jax.Array] = []
    seconds, step = 0.0, 0
    for epoch in range(1, recipe.epochs + 1):
        start = time.perf_counter()
        for rows, drawn in itertools.islice(batches, steps_per_epoch):
            state, loss = train_step(state, arrays, rows, drawn)
            losses.append(loss)
        jax.block_until_ready(state)
        seconds += time.perf_counter() - start
        step += steps_per_epoch
        is_last = epoch == recipe.epochs or seconds > max_seconds
        if is_last or epoch % validate_every == 0:
            result = validate(predict, state, val_people, recipe.batch_size)
            mean_loss = float(np.mean(jax.device_get(losses)))
            images_per_second = step * recipe.batch_size / seconds
            curve.append(_entry(epoch, step, mean_loss, images_per_second, seconds, result))
            losses.clear()
            print(_line(curve[-1]), flush=True)
        if is_last:
            break
    return curve


def _entry(
    epoch: int, step: int, loss: float, images_per_second: float, seconds: float, result: CorrectKeypoints
) -> dict[str, Any]:
    return {
        "epoch": epoch,
        "step": step,
        "loss": loss,
        "images_per_second": images_per_second,
        "seconds": seconds,
        "pck": result.over_all_keypoints,
        "pck_per_joint": [float(share) for share in result.per_joint],
    }


def _line(entry: dict[str, Any]) -> str:
    return (
        f"epoch {entry['epoch']:4d}  step {entry['step']:6d}  loss {entry['loss']:.3e}  "
        f"{entry['images_per_second']:7.0f} images/s  {entry['seconds']:6.0f} s  "
        f"PCK@0.2 {100 * entry['pck']:5.1f}"
    )


def check_precision(recipe: Recipe, people: People, num_steps: int = CHECK_STEPS) -> bool:
    """Prints the first losses in every precision, from equal weights and batches.

    Returns:
        Whether all losses and weights are finite and every heatmap layer computes in float32.
    """
    arrays = jax.device_put(_arrays(people))
    is_sound = True
    for precision in PRECISIONS:
        # No warm-up: initial heatmaps are near zero, and equal in any precision until the weights have changed.
        variant = dataclasses.replace(recipe, precision=precision, warmup_steps=0)
        model, state, train_step = start_training(variant, people.skeleton, num_steps)
        losses = []
        for rows, drawn in itertools.islice(iterate_batches(variant, len(people)), num_steps):
            state, loss = train_step(state, arrays, rows, drawn)
            losses.append(float(loss))
        heatmap_dtype = model.get_layer(HEATMAP_LAYER).compute_dtype
        arrays_of_state = jax.device_get(state.trainable + state.non_trainable)
        is_finite = bool(np.isfinite(losses).all() and all(np.isfinite(a).all() for a in arrays_of_state))
        is_sound &= is_finite and heatmap_dtype == "float32"
        print(
            f"{precision:15s} losses {' '.join(f'{loss:.6e}' for loss in losses)}  "
            f"finite {is_finite}  heatmaps {heatmap_dtype}",
            flush=True,
        )
    return is_sound


def _expand(recipe: Recipe, varied: list[str]) -> list[tuple[str, Recipe]]:
    """Labels and recipes: the recipe itself, or one for each value of each `name=value,value`."""
    if not varied:
        return [("", recipe)]
    runs = []
    for text in varied:
        name, _, values = text.partition("=")
        types = {field.name: type(getattr(recipe, field.name)) for field in _fields()}
        if name not in types or not values:
            raise ValueError(f"--vary must be FLAG=VALUE,VALUE with a flag of the recipe, got {text!r}")
        for value in values.split(","):
            changed = dataclasses.replace(recipe, **{name: types[name](value)})
            runs.append((f"{name}={value}", changed))
    return runs


def _fields() -> tuple[dataclasses.Field, ...]:
    return dataclasses.fields(Recipe)


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--data", type=pathlib.Path, required=True, help="folder in the layout of COCO")
    parser.add_argument("--output", type=pathlib.Path, help="JSON file for the curves")
    parser.add_argument("--limit", type=int, help="number of people of each split to use; default: all")
    parser.add_argument("--validate_every", type=int, default=1, help="number of epochs between validations")
    parser.add_argument("--max_seconds", type=float, default=math.inf, help="seconds of training in a run")
    parser.add_argument("--vary", action="append", default=[], help="FLAG=VALUE,VALUE: one run for each value")
    parser.add_argument("--check_precision", action="store_true", help="compare the first losses in all precisions")
    for field in _fields():
        parser.add_argument(
            f"--{field.name}", type=type(field.default), default=field.default, help="setting of the recipe"
        )
    return parser.parse_args()


def main() -> int:
    """Trains the recipes and prints their PCK; returns the exit code."""
    arguments = _parse_arguments()
    recipe = Recipe(**{field.name: getattr(arguments, field.name) for field in _fields()})
    print(f"Keras {keras.__version__} on JAX {jax.__version__}, {jax.devices()[0].device_kind}")
    curves = []
    for label, variant in _expand(recipe, arguments.vary):
        load = functools.partial(load_people, arguments.data, limit=arguments.limit)
        train_people = load("train", crop=variant.crop, largest_scale=variant.scale_high)
        if arguments.check_precision:
            return 0 if check_precision(variant, train_people) else 1
        val_people = load("val", crop=variant.crop, largest_scale=1.0)
        print(f"{label or 'run'}: {len(train_people)} people to train on, {len(val_people)} to test")
        curve = train(variant, train_people, val_people, arguments.validate_every, arguments.max_seconds)
        curves.append({"recipe": dataclasses.asdict(variant), "label": label, "curve": curve})
        if arguments.output:
            write_json(arguments.output, curves)
    for run in curves:
        print(f"{run['label'] or 'run':30s} PCK@0.2 {100 * run['curve'][-1]['pck']:5.1f}")
    joints = zip(train_people.skeleton.joints, curves[-1]["curve"][-1]["pck_per_joint"], strict=True)
    print("  ".join(f"{joint} {100 * share:.1f}" for joint, share in joints))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f"{sys.argv[0]}: {error}")
