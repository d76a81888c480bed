"""Masks of the parts of a frame where nothing is known: ignore regions, crowds, people without a head. NumPy only."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from tfpose import geometry
from tfpose.data.records import RecordTable
from tfpose.messages import quote

# Corners are drawn to a sixteenth of a cell.
_FRACTION_BITS = 4
# Far outside of any map, and small enough for 32 bits with the fraction.
_FARTHEST_CELL = 1e5
# No picture is larger; a file may say anything.
_MOST_PIXELS = 1 << 28


def draw_image_mask(
    table: RecordTable,
    image: int,
    map_from_image: np.ndarray,
    map_size: tuple[int, int],
    polygons: Sequence[np.ndarray] = (),
) -> np.ndarray:
    """Draws the ignore regions and the crowds of an image of the records.

    Args:
        table: Records.
        image: Row of the table's images.
        map_from_image: [2, 3] map from image pixels to cells.
        map_size: (height, width) in cells.
        polygons: Corners [N, 2] of further regions, in image pixels.

    Returns:
        Mask as from `draw_region_mask`.

    Raises:
        ValueError: The segmentation of a crowd is damaged. The message names the image and the crowd.
    """
    all_polygons, bitmaps = [*table.images["ignore_regions"][image], *polygons], []
    people = table.people
    for row in table.people_of(image):
        if people["is_crowd"][row]:
            try:
                of_crowd = read_crowd_region(people["segmentation"][row], people["box"][row])
            except ValueError as error:
                name = f"{table.describe(image)}: crowd {people['annotation_id'][row]}"
                raise ValueError(f"{name}: {error}") from error
            all_polygons += of_crowd[0]
            bitmaps += of_crowd[1]
    return draw_region_mask(all_polygons, bitmaps, map_from_image, map_size)


def draw_region_mask(
    polygons: Sequence[np.ndarray],
    bitmaps: Sequence[np.ndarray],
    heatmap_from_image: np.ndarray,
    heatmap_size: tuple[int, int],
) -> np.ndarray:
    """Draws the mask of the cells that count in the loss.

    Args:
        polygons: [N, 2] corners (x, y) each, in image pixels; fewer than three enclose nothing.
        bitmaps: [height, width] uint8 each, 1 where a pixel of the image is in a region.
        heatmap_from_image: [2, 3].
        heatmap_size: (height, width) in cells.

    Returns:
        [height, width] float32: 0 in a region, its outline included, else 1.
    """
    mask = np.ones(heatmap_size, np.uint8)
    for polygon in polygons:
        if len(polygon) < 3 or not np.isfinite(polygon).all():
            continue
        cells = geometry.transform_arrays(heatmap_from_image, np.asarray(polygon, np.float64))
        fixed = np.rint(np.clip(cells, -_FARTHEST_CELL, _FARTHEST_CELL) * (1 << _FRACTION_BITS))
        cv2.fillPoly(mask, [fixed.astype(np.int32)], 0, shift=_FRACTION_BITS)
    for bitmap in bitmaps:
        size = heatmap_size[::-1]
        covered = cv2.warpAffine(bitmap, np.asarray(heatmap_from_image, np.float64), size, flags=cv2.INTER_NEAREST)
        mask[covered > 0] = 0
    return mask.astype(np.float32)


def box_polygon(box: np.ndarray) -> np.ndarray:
    """Returns the corners [4, 2] of an xyxy box; no corners for a box without an area."""
    x1, y1, x2, y2 = np.asarray(box, np.float64)
    if not (x2 > x1 and y2 > y1):
        return np.zeros((0, 2))
    return np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]])


def read_crowd_region(segmentation: str, box: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Reads the region of a crowd as (polygons, bitmaps).

    COCO writes crowds as run lengths, down the columns, beginning with the pixels outside (`counts` as a list, `size`
    (height, width)), people as polygons. The box stands for what is neither, such as compressed run lengths.

    Args:
        segmentation: JSON text of the record, empty where there is none.
        box: Box (x1, y1, x2, y2) in image pixels.

    Raises:
        ValueError: if the run lengths do not add up to the picture's size.
    """
    try:
        content: Any = json.loads(segmentation) if segmentation else None
        if isinstance(content, list) and content:
            return [np.asarray(points, np.float64).reshape(-1, 2) for points in content], []
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise ValueError(f"segmentation must be JSON with polygons of pairs, got {quote(segmentation)}") from error
    if isinstance(content, dict) and isinstance(content.get("counts"), list):
        return [], [_bitmap_from_runs(content["counts"], content.get("size"))]
    return [box_polygon(box)], []


def _bitmap_from_runs(counts: Sequence[Any], size: Any) -> np.ndarray:
    is_size = isinstance(size, list) and len(size) == 2
    if not (is_size and all(_is_count(side) for side in size) and size[0] * size[1] <= _MOST_PIXELS):
        raise ValueError(f"segmentation: size must be [height, width] of a picture, got {quote(size)}")
    if not all(_is_count(count) for count in counts):
        raise ValueError(f"segmentation: counts must be whole numbers from 0 on, got {quote(counts)}")
    height, width = size
    if sum(counts) != height * width:
        raise ValueError(f"segmentation: counts must add up to {height} x {width} pixels, got {sum(counts)}")
    values = np.arange(len(counts)) % 2
    return np.repeat(values, counts).astype(np.uint8).reshape(width, height).T.copy()


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0
