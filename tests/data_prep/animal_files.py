"""Writes small files of SLEAP and DeepLabCut by hand, in their public layouts."""

from __future__ import annotations

import csv
import json
import pathlib
from collections.abc import Sequence

import cv2
import h5py
import numpy as np

SIZE = (64, 48)  # height, width
NODES = ("head", "eyeR", "eyeL", "tail")
FRAME_TYPE = [(name, "u8") for name in ("frame_id", "video", "frame_idx", "instance_id_start", "instance_id_end")]
INSTANCE_TYPE = [
    *(("instance_id", "i8"), ("instance_type", "u1"), ("frame_id", "u8"), ("skeleton", "u4"), ("track", "i4")),
    *(("from_predicted", "i8"), ("score", "f4"), ("point_id_start", "u8"), ("point_id_end", "u8")),
    ("tracking_score", "f4"),
]
POINT_TYPE = [("x", "f8"), ("y", "f8"), ("visible", "?"), ("complete", "?")]
NAN = (np.nan, np.nan)


def edge_type(number: int, seen: list[int]) -> dict:
    """A type of links as jsonpickle writes it: the object once, later its place."""
    if number in seen:
        return {"py/id": seen.index(number) + 1}
    seen.append(number)
    return {"py/reduce": [{"py/type": "sleap.skeleton.EdgeType"}, {"py/tuple": [number]}]}


def skeleton_json(order: Sequence[int] = (0, 1, 2, 3)) -> dict:
    """Edges from the head to all others; the eyes are symmetric, in both directions. Symmetries come first."""
    seen: list[int] = []
    links = [
        {"key": 0, "source": source, "target": target, "type": edge_type(kind, seen)}
        for source, target, kind in ((1, 2, 2), (2, 1, 2), (0, 1, 1), (0, 2, 1), (0, 3, 1))
    ]
    return {
        **{"directed": True, "graph": {"name": "fly", "num_edges_inserted": 3}, "links": links, "multigraph": True},
        "nodes": [{"id": node} for node in order],
    }


def media(name: str) -> dict:
    """A video file as SLEAP describes it, with the path of another computer."""
    return {"backend": {"type": "MediaVideo", "filename": name, "grayscale": True, "bgr": True, "dataset": ""}}


def animal(
    points: Sequence, track: int = -1, predicted: bool = False, source: int = -1, visible: Sequence = ()
) -> dict:
    """An animal: its joints, the row of its track, whether SLEAP predicted it, and the row that it was made from."""
    return {"points": points, "track": track, "predicted": predicted, "source": source, "visible": visible}


def write_slp(
    path: pathlib.Path,
    frames: Sequence[tuple[int, int, Sequence[dict]]],
    videos: Sequence[dict],
    format_id: float | None = 1.2,
    num_tracks: int = 2,
    metadata: dict | None = None,
) -> pathlib.Path:
    """Writes a SLEAP file; each frame is (number of the video, number of the frame, animals)."""
    tables: dict[str, list] = {"frames": [], "instances": [], "points": [], "pred_points": []}
    for frame_id, (video, number, animals) in enumerate(frames):
        start = len(tables["instances"])
        for entry in animals:
            points = tables["pred_points" if entry["predicted"] else "points"]
            row = len(tables["instances"])
            first, last = len(points), len(points) + len(entry["points"])
            ids = (row, entry["predicted"], frame_id, 0, entry["track"], entry["source"], 0.5)
            tables["instances"].append((*ids, first, last, 0.0))
            visible = entry["visible"] or [True] * len(entry["points"])
            points += [
                (x, y, v, False) + (0.9,) * entry["predicted"]
                for (x, y), v in zip(entry["points"], visible, strict=True)
            ]
        tables["frames"].append((frame_id, video, number, start, len(tables["instances"])))
    content = {
        **{"version": "2.0.0", "skeletons": [skeleton_json()], "nodes": [{"name": n, "weight": 1.0} for n in NODES]},
        **{"videos": [], "tracks": [], "suggestions": [], "negative_anchors": {}, "provenance": {}},
    }
    with h5py.File(path, "w") as file:
        group = file.require_group("metadata")
        if format_id is not None:
            group.attrs["format_id"] = format_id
        group.attrs["json"] = np.bytes_(json.dumps({**content, **(metadata or {})}))
        lists = {"videos": list(videos), "tracks": [[0, f"track {n}"] for n in range(num_tracks)], "suggestions": []}
        for name, entries in lists.items():
            texts = np.array([json.dumps(entry).encode() for entry in entries], "S")
            file.create_dataset(f"{name}_json", data=texts if entries else np.zeros(0, "S1"))
        types = {"frames": FRAME_TYPE, "instances": INSTANCE_TYPE, "points": POINT_TYPE}
        for name, dtype in (types | {"pred_points": [*POINT_TYPE, ("score", "f8")]}).items():
            file.create_dataset(name, data=np.array(tables[name], dtype))
    return path


def gray_level(number: int) -> int:
    """The gray of a frame, which tells it from the others."""
    return 20 + 20 * number


def write_clip(path: pathlib.Path, num_frames: int = 10) -> pathlib.Path:
    """Writes a video whose frames have the levels of `gray_level`."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, SIZE[::-1])
    for number in range(num_frames):
        writer.write(np.full((*SIZE, 3), gray_level(number), np.uint8))
    writer.release()
    return path


def write_h5_table(
    path: pathlib.Path, header: Sequence[Sequence[str]], rows: Sequence[str], values: np.ndarray
) -> None:
    """Writes a table as pandas does: `DataFrame.to_hdf(path, key="df_with_missing")`."""
    with h5py.File(path, "w") as file:
        group = file.create_group("df_with_missing")
        for name, number in (("axis0_nlevels", len(header)), ("block0_items_nlevels", len(header)), ("nblocks", 1)):
            group.attrs[name] = np.int64(number)
        for name, text in (("pandas_type", "frame"), ("axis0_variety", "multi"), ("axis1_variety", "regular")):
            group.attrs[name] = np.bytes_(text)
        for level, names in enumerate(header):
            distinct = sorted(set(names))
            for axis in ("axis0", "block0_items"):
                group[f"{axis}_level{level}"] = np.array(distinct, "S")
                group[f"{axis}_label{level}"] = np.array([distinct.index(name) for name in names], np.int8)
        group["axis1"] = np.array(rows, "S")
        group["block0_values"] = values
        group["block0_values"].attrs["transposed"] = np.uint8(1)


def write_csv_table(
    path: pathlib.Path, header: Sequence[Sequence[str]], rows: Sequence[str], values: np.ndarray
) -> None:
    """Writes a table as DeepLabCut does, with one cell for the name of an image, or three."""
    names = [row.split("|") for row in rows]
    titles = ("scorer", "bodyparts", "coords") if len(header) == 3 else ("scorer", "individuals", "bodyparts", "coords")
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        for title, line in zip(titles, header, strict=True):
            writer.writerow([title, *[""] * (len(names[0]) - 1), *line])
        for name, line in zip(names, values, strict=True):
            writer.writerow([*name, *("" if np.isnan(value) else value for value in line)])
