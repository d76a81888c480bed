"""Keypoints to heatmaps and back, side by side.

Everything here is `keras.ops`: it runs eagerly, inside `tf.function`, `tf.data` and a SavedModel
with unknown batch and map sizes, and on the JAX backend. Heatmaps are [B, H, W, J]; keypoints are
(x, y) in heatmap cells, cell centers at whole numbers (`tfpose.geometry`).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import cv2
import keras
import numpy as np
from keras import ops

Tensor = Any  # of the Keras backend in use, or anything it converts, such as a NumPy array

Centers = Literal["subcell", "rounded"]
Convention = Literal["microsoft", "mmpose"]

# Beyond three standard deviations a Gaussian is below 0.012: nothing to learn from.
_REACH_SIGMAS = 3.0
# Blur of Hugging Face's `VitPoseImageProcessor`. ViTPose's published scores come from the authors' and MMPose's blur.
_HUB_SIGMA_CELLS = 0.8


class Peaks(NamedTuple):
    """The highest cell of every heatmap.

    Attributes:
        x: Columns [B, J], int32.
        y: Rows [B, J], int32.
        scores: Values [B, J] of the cells, float32.
    """

    x: Tensor
    y: Tensor
    scores: Tensor


@dataclasses.dataclass(frozen=True)
class DecodingOptions:
    """Options of the decoding methods; `decode_heatmaps` describes them."""

    blur_kernel: int
    convention: Convention


def encode_heatmaps(
    heatmap_keypoints: Tensor,
    weights: Tensor,
    heatmap_size: tuple[int | Tensor, int | Tensor],
    sigma_cells: float,
    centers: Centers = "subcell",
    cutoff_sigmas: float | None = None,
) -> tuple[Tensor, Tensor]:
    """Draws a Gaussian of peak 1 around every keypoint.

    The default is the unbiased target of Zhang et al. 2020, "Distribution-Aware Coordinate
    Representation for Human Pose Estimation" (DARK). `centers="rounded", cutoff_sigmas=3.0` is the
    target of Xiao et al. 2018, "Simple Baselines for Human Pose Estimation and Tracking", in its
    public code; `centers="subcell", cutoff_sigmas=3.0` that of Huang et al. 2020, "The Devil is in
    the Details" (UDP).

    Args:
        heatmap_keypoints: [B, J, 2] as (x, y) in heatmap cells; NaN is as good as weight 0.
        weights: [B, J], not negative; 0 for a missing keypoint.
        heatmap_size: (height, width) in cells.
        sigma_cells: Standard deviation of the Gaussian in cells.
        centers: Center of the Gaussian: the keypoint ("subcell"), or the cell that it rounds to ("rounded": halves
            towards the right; truncated towards zero left of and above the map, as the public code does).
        cutoff_sigmas: Half the side, in sigmas, of the square around the rounded keypoint outside which the map is 0;
            None draws the whole Gaussian.

    Returns:
        Heatmaps [B, H, W, J] float32 in [0, 1], all zero for joints without weight; and the weights
        [B, J] float32, now 0 too for keypoints whose square (three sigmas if there is no cutoff)
        misses the map.

    Raises:
        ValueError: sigma_cells or cutoff_sigmas is not positive, or centers is unknown.
    """
    _check_encoding(sigma_cells, centers, cutoff_sigmas)
    weights = ops.cast(weights, "float32")
    keypoints = ops.cast(heatmap_keypoints, "float32")
    rounded = ops.trunc(keypoints + 0.5)
    drawn = rounded if centers == "rounded" else keypoints
    window = drawn if cutoff_sigmas is None else rounded
    reach = sigma_cells * (cutoff_sigmas or _REACH_SIGMAS)
    weights = ops.where(_reaches_map(window, reach, heatmap_size), weights, 0.0)
    # Infinitely far away: the Gaussian of a joint without weight is 0 in every cell.
    drawn = ops.where(weights[..., None] > 0, drawn, math.inf)
    columns, rows = (
        _gaussian_along_axis(drawn[..., axis], rounded[..., axis], heatmap_size[1 - axis], sigma_cells, cutoff_sigmas)
        for axis in (0, 1)
    )
    return rows[:, :, None, :] * columns[:, None, :, :], weights


def decode_heatmaps(
    heatmaps: Tensor,
    method: str = "quarter",
    blur_kernel: int = 11,
    convention: Convention = "microsoft",
) -> tuple[Tensor, Tensor]:
    """Finds the peak of every heatmap, to sub-cell precision unless `method` is "peak".

    - "peak": the highest cell; of equal ones the first in row order.
    - "quarter": a quarter cell from there towards the higher neighbor of each axis (none if they
      are equal), as in the public code of Xiao et al. 2018 and Newell et al. 2016, "Stacked
      Hourglass Networks for Human Pose Estimation".
    - "quadratic": on each axis to the top of the parabola through the cell and its two neighbors, at
      most half a cell; at the border that axis stays.
    - "dark": one Newton step on the logarithm of the blurred map, Zhang et al. 2020;
      peaks in the outer two rows and columns stay.
    - "udp": the same with one-cell differences and at the border too, Huang et al. 2020.
    - "udp_hub": the same with a blur of 0.8 cells that mirrors the map at its border, as
      Hugging Face's image processor of ViTPose reads heatmaps.

    The Newton steps are those of the references: not limited, so a map that is no hill at its peak
    can send a keypoint cells away. Results of float32 blurring differ from theirs by rounding only.

    Args:
        heatmaps: [B, H, W, J], any range.
        method: Name of an entry of `DECODINGS`, see above.
        blur_kernel: Odd number of cells across the Gaussian blur of "dark", "udp" and "udp_hub"; for the first two
            OpenCV chooses its sigma (2 cells for 11, 2.9 for 17).
        convention: Choice where two public codes differ. "microsoft": a quarter offset needs both coordinates to be
            inside the border, a map without a positive value gives (0, 0). "mmpose": each axis has its own border, such
            a map gives (-1, -1).

    Returns:
        Keypoints [B, J, 2] as (x, y) in heatmap cells, and scores [B, J], the peak values; both
        float32. Keypoints of maps without a positive value (or with NaN) mean nothing: their score
        is not above 0.

    Raises:
        ValueError: unknown method or convention, or a blur_kernel that is even or not positive.
    """
    _check_decoding(method, blur_kernel, convention)
    heatmaps = ops.cast(heatmaps, "float32")
    x, y, scores = peaks = _find_peaks(heatmaps)
    offset_x, offset_y = DECODINGS[method](heatmaps, peaks, DecodingOptions(blur_kernel, convention))
    empty_value = 0.0 if convention == "microsoft" else -1.0
    keypoints = ops.stack([ops.cast(x, "float32") + offset_x, ops.cast(y, "float32") + offset_y], axis=-1)
    return ops.where((scores > 0)[..., None], keypoints, empty_value), scores


def mirror_heatmaps(heatmaps: Tensor, flip_order: Sequence[int] | np.ndarray, shift_one_cell: bool) -> Tensor:
    """Mirrors the maps of a mirrored image back: left to right, joint pairs swapped.

    Args:
        heatmaps: [B, H, W, J].
        flip_order: [J], the joint that takes the place of each in the mirror
            (`Skeleton.flip_order`).
        shift_one_cell: Whether to move the result one column to the right; column 0 keeps its value. With crop_x = 4 *
            heatmap_x an image mirrored at crop resolution is mirrored three quarters of a cell too far left (Huang et
            al. 2020); both public codes compensate this way.

    Returns:
        [B, H, W, J].
    """
    mirrored = ops.take(ops.flip(heatmaps, axis=2), _as_indices(flip_order), axis=3)
    if not shift_one_cell:
        return mirrored
    return ops.concatenate([mirrored[:, :, :1], mirrored[:, :, :-1]], axis=2)


def average_flipped(
    heatmaps: Tensor,
    heatmaps_of_mirrored_image: Tensor,
    flip_order: Sequence[int] | np.ndarray,
    shift_one_cell: bool,
) -> Tensor:
    """Averages an image's heatmaps [B, H, W, J] and those of its mirror image, mirrored back.

    See `mirror_heatmaps` for the arguments.
    """
    mirrored = mirror_heatmaps(heatmaps_of_mirrored_image, flip_order, shift_one_cell)
    return (ops.convert_to_tensor(heatmaps) + mirrored) * 0.5


def _reaches_map(centers: Tensor, reach: float, heatmap_size: tuple[int | Tensor, int | Tensor]) -> Tensor:
    """Returns whether the square of half side `reach` around each center [B, J, 2] touches the map, [B, J] bool.

    As in the public codes a square that ends one cell left of or above the map still counts.
    """
    size = ops.cast(ops.stack([heatmap_size[1], heatmap_size[0]]), "float32")
    is_on_axis = ops.logical_and(centers - reach < size, centers + reach + 1 >= 0)
    return ops.all(is_on_axis, axis=-1)


def _gaussian_along_axis(
    centers: Tensor,
    window_centers: Tensor,
    size: int | Tensor,
    sigma_cells: float,
    cutoff_sigmas: float | None,
) -> Tensor:
    """Computes the values [B, size, J] of one-dimensional Gaussians of peak 1 at centers [B, J]."""
    cells = ops.arange(size, dtype="float32")[None, :, None]
    values = ops.exp(-0.5 * ops.square((cells - centers[:, None, :]) / sigma_cells))
    if cutoff_sigmas is None:
        return values
    is_inside = ops.abs(cells - window_centers[:, None, :]) <= cutoff_sigmas * sigma_cells
    return ops.where(is_inside, values, 0.0)


def _find_peaks(heatmaps: Tensor) -> Peaks:
    width = ops.shape(heatmaps)[2]
    # An initial value lets a batch be empty: an image without people.
    highest_of_rows = ops.max(heatmaps, axis=2, initial=-math.inf)
    scores = ops.max(highest_of_rows, axis=1, initial=-math.inf)
    y = _first(highest_of_rows == scores[:, None])
    row = _cells(heatmaps, y[:, None] * width + ops.arange(width, dtype="int32")[:, None])
    return Peaks(_first(row == scores[:, None]), y, scores)


def _first(is_peak: Tensor) -> Tensor:
    """Returns the first index [B, J] where [B, N, J] is true, or the last index if it is nowhere."""
    # Not argmax: which of equal values it names is not the same on every device.
    size = ops.shape(is_peak)[1]
    index = ops.where(is_peak, ops.arange(size, dtype="int32")[:, None], size - 1)
    return ops.min(index, axis=1, initial=np.iinfo(np.int32).max)


def _cells(heatmaps: Tensor, indices: Tensor) -> Tensor:
    """Reads cells [B, N, J] of each map by their indices in row order."""
    batch, height, width, num_joints = ops.shape(heatmaps)
    # Not `take_along_axis`, which transposes whole maps.
    first_cell = ops.arange(batch, dtype="int32")[:, None, None] * (height * width)
    places = (first_cell + indices) * num_joints + ops.arange(num_joints, dtype="int32")
    return ops.take(ops.reshape(heatmaps, (-1,)), places)


def _windows(heatmaps: Tensor, peaks: Peaks, reach: int) -> Tensor:
    """Returns the cells [B, 2 reach + 1, 2 reach + 1, J] around the peaks; beyond the border, that of the border."""
    batch, height, width, num_joints = ops.shape(heatmaps)
    steps = ops.arange(-reach, reach + 1, dtype="int32")[:, None]
    rows = ops.clip(peaks.y[:, None] + steps, 0, height - 1)
    columns = ops.clip(peaks.x[:, None] + steps, 0, width - 1)
    cells = rows[:, :, None] * width + columns[:, None]
    side = 2 * reach + 1
    values = _cells(heatmaps, ops.reshape(cells, (batch, side * side, num_joints)))
    return ops.reshape(values, (batch, side, side, num_joints))


def _reader(windows: Tensor) -> Callable[[int, int], Tensor]:
    """Returns a function from steps along x and along y, counted from the middle, to the values [B, J] there."""
    middle = windows.shape[1] // 2
    return lambda step_x, step_y: windows[:, middle + step_y, middle + step_x]


def _is_between(coordinate: Tensor, low: int, high: int | Tensor) -> Tensor:
    return ops.logical_and(coordinate > low, coordinate < high)


def _no_offsets(heatmaps: Tensor, peaks: Peaks, options: DecodingOptions) -> tuple[Tensor, Tensor]:
    return ops.zeros_like(peaks.scores), ops.zeros_like(peaks.scores)


def _quarter_offsets(heatmaps: Tensor, peaks: Peaks, options: DecodingOptions) -> tuple[Tensor, Tensor]:
    """Returns a quarter of the signs of the central differences at the peaks."""
    x, y, _ = peaks
    _, height, width, _ = ops.shape(heatmaps)
    moves_x, moves_y = _is_between(x, 1, width - 1), _is_between(y, 1, height - 1)
    if options.convention == "microsoft":
        moves_x = moves_y = ops.logical_and(moves_x, moves_y)
    else:
        moves_x, moves_y = ops.logical_and(moves_x, y > 0), ops.logical_and(moves_y, x > 0)
    at = _reader(_windows(heatmaps, peaks, reach=1))
    slope_x, slope_y = at(1, 0) - at(-1, 0), at(0, 1) - at(0, -1)
    return (
        ops.where(moves_x, 0.25 * ops.sign(slope_x), 0.0),
        ops.where(moves_y, 0.25 * ops.sign(slope_y), 0.0),
    )


def _quadratic_offsets(heatmaps: Tensor, peaks: Peaks, options: DecodingOptions) -> tuple[Tensor, Tensor]:
    """Returns the tops of the parabolas through each peak and its two neighbors on each axis."""
    x, y, scores = peaks
    _, height, width, _ = ops.shape(heatmaps)
    at = _reader(_windows(heatmaps, peaks, reach=1))

    def top(before: Tensor, after: Tensor, is_inside: Tensor) -> Tensor:
        # Not negative, since the peak is the highest; 0 on a plateau.
        curvature = 2 * scores - before - after
        is_curved = ops.logical_and(is_inside, curvature > 0)
        return ops.where(is_curved, 0.5 * (after - before) / ops.where(is_curved, curvature, 1.0), 0.0)

    return (
        top(at(-1, 0), at(1, 0), _is_between(x, 0, width - 1)),
        top(at(0, -1), at(0, 1), _is_between(y, 0, height - 1)),
    )


def _dark_offsets(heatmaps: Tensor, peaks: Peaks, options: DecodingOptions) -> tuple[Tensor, Tensor]:
    x, y, _ = peaks
    _, height, width, _ = ops.shape(heatmaps)
    at = _reader(ops.log(ops.maximum(_blurred_windows(heatmaps, peaks, options.blur_kernel, reach=2), 1e-10)))
    offset_x, offset_y = _newton_step(
        slope_x=0.5 * (at(1, 0) - at(-1, 0)),
        slope_y=0.5 * (at(0, 1) - at(0, -1)),
        curvature_xx=0.25 * (at(2, 0) - 2 * at(0, 0) + at(-2, 0)),
        curvature_xy=0.25 * (at(1, 1) - at(1, -1) - at(-1, 1) + at(-1, -1)),
        curvature_yy=0.25 * (at(0, 2) - 2 * at(0, 0) + at(0, -2)),
    )
    moves = ops.logical_and(_is_between(x, 1, width - 2), _is_between(y, 1, height - 2))
    return ops.where(moves, offset_x, 0.0), ops.where(moves, offset_y, 0.0)


def _udp_offsets(heatmaps: Tensor, peaks: Peaks, options: DecodingOptions) -> tuple[Tensor, Tensor]:
    return _unbiased_offsets(_blurred_windows(heatmaps, peaks, options.blur_kernel, reach=1))


def _hub_offsets(heatmaps: Tensor, peaks: Peaks, options: DecodingOptions) -> tuple[Tensor, Tensor]:
    taps = _taps_of_sigma(options.blur_kernel, _HUB_SIGMA_CELLS)
    return _unbiased_offsets(_windows(_blur(heatmaps, taps, padding="symmetric"), peaks, reach=1))


def _unbiased_offsets(blurred: Tensor) -> tuple[Tensor, Tensor]:
    """Returns one Newton step on the logarithm of blurred windows [B, 3, 3, J], with differences of one cell."""
    at = _reader(ops.log(ops.clip(blurred, 1e-3, 50.0)))
    center, right, left, below, above = at(0, 0), at(1, 0), at(-1, 0), at(0, 1), at(0, -1)
    # The reference adds float32's epsilon to the diagonal, so that a flat map does not move.
    epsilon = float(np.finfo(np.float32).eps)
    twice_xy = at(1, 1) - right - below + 2 * center - left - above + at(-1, -1)
    return _newton_step(
        slope_x=0.5 * (right - left),
        slope_y=0.5 * (below - above),
        curvature_xx=right - 2 * center + left + epsilon,
        curvature_xy=0.5 * twice_xy,
        curvature_yy=below - 2 * center + above + epsilon,
    )


def _newton_step(
    slope_x: Tensor,
    slope_y: Tensor,
    curvature_xx: Tensor,
    curvature_xy: Tensor,
    curvature_yy: Tensor,
) -> tuple[Tensor, Tensor]:
    """Returns minus the inverse Hessian (2x2) times the gradient; 0 if there is no inverse."""
    determinant = curvature_xx * curvature_yy - ops.square(curvature_xy)
    is_regular = determinant != 0
    determinant = ops.where(is_regular, determinant, 1.0)
    step_x = (curvature_xy * slope_y - curvature_yy * slope_x) / determinant
    step_y = (curvature_xy * slope_x - curvature_xx * slope_y) / determinant
    return ops.where(is_regular, step_x, 0.0), ops.where(is_regular, step_y, 0.0)


def _blurred_windows(heatmaps: Tensor, peaks: Peaks, blur_kernel: int, reach: int) -> Tensor:
    """Returns windows of maps blurred by a Gaussian with zeros beyond the border, scaled to their former maximum."""
    blurred = _blur(heatmaps, _gaussian_taps(blur_kernel), padding="constant")
    highest = ops.max(blurred, axis=(1, 2), initial=-math.inf)
    factor = ops.where(highest > 0, peaks.scores / ops.where(highest > 0, highest, 1.0), 1.0)
    return _windows(blurred, peaks, reach) * factor[:, None, None, :]


def _blur(heatmaps: Tensor, taps: np.ndarray, padding: str) -> Tensor:
    return _blur_along_axis(_blur_along_axis(heatmaps, taps, padding, axis=1), taps, padding, axis=2)


def _blur_along_axis(heatmaps: Tensor, taps: np.ndarray, padding: str, axis: int) -> Tensor:
    size, num_joints = ops.shape(heatmaps)[axis], heatmaps.shape[-1]
    reach = len(taps) // 2
    margins = [(reach, reach) if dimension == axis else (0, 0) for dimension in range(4)]
    padded = ops.pad(heatmaps, margins, mode=padding)
    if keras.backend.backend() == "tensorflow" and num_joints not in (None, 1):
        # Of a single map TensorFlow would make a usual convolution.
        kernel = np.tile(np.expand_dims(taps, (2 - axis, 2, 3)), (1, 1, num_joints, 1))
        return ops.depthwise_conv(padded, kernel, padding="valid", data_format="channels_last")
    # Sums of shifted maps: XLA makes one loop of them, which is 30 times faster on a CPU than its depthwise
    # convolution; and an accelerator's usual convolution may round its input to 10 bits.
    return sum(
        float(tap) * (padded[:, i : i + size] if axis == 1 else padded[:, :, i : i + size])
        for i, tap in enumerate(taps)
    )


def _gaussian_taps(kernel: int) -> np.ndarray:
    """Returns float32 weights [kernel] that sum to 1: OpenCV's for a sigma of 0, which the public codes use."""
    return _taps_of_sigma(kernel, 0)


def _taps_of_sigma(kernel: int, sigma_cells: float) -> np.ndarray:
    return cv2.getGaussianKernel(kernel, sigma_cells)[:, 0].astype(np.float32)


# A new decoding method is a function that returns sub-cell offsets, and an entry here. The function takes heatmaps
# [B, H, W, J], their peaks and the options, and returns the offsets from the peaks along x and along y, each [B, J].
DECODINGS: dict[str, Callable[[Tensor, Peaks, DecodingOptions], tuple[Tensor, Tensor]]] = {
    "peak": _no_offsets,
    "quarter": _quarter_offsets,
    "quadratic": _quadratic_offsets,
    "dark": _dark_offsets,
    "udp": _udp_offsets,
    "udp_hub": _hub_offsets,
}
# Those that read heatmaps of unbiased crops, `CropSettings.convention` 'udp'.
UNBIASED_DECODINGS = ("udp", "udp_hub")


def _as_indices(flip_order: Sequence[int] | np.ndarray) -> Tensor:
    return ops.convert_to_tensor(np.asarray(flip_order, dtype=np.int32))


def _check_encoding(sigma_cells: float, centers: str, cutoff_sigmas: float | None) -> None:
    if centers not in ("subcell", "rounded"):
        raise ValueError(f"centers must be 'subcell' or 'rounded', got {centers!r}")
    for name, value in (("sigma_cells", sigma_cells), ("cutoff_sigmas", cutoff_sigmas)):
        if value is not None and not (value > 0 and math.isfinite(value)):
            raise ValueError(f"{name} must be a positive number, got {value}")


def _check_decoding(method: str, blur_kernel: int, convention: str) -> None:
    if method not in DECODINGS:
        raise ValueError(f"method must be one of {', '.join(DECODINGS)}, got {method!r}")
    if convention not in ("microsoft", "mmpose"):
        raise ValueError(f"convention must be 'microsoft' or 'mmpose', got {convention!r}")
    if blur_kernel < 1 or blur_kernel % 2 == 0:
        raise ValueError(f"blur_kernel must be an odd positive number of cells, got {blur_kernel}")
