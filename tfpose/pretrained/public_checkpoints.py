"""Public checkpoints by name: addresses, sizes and published scores.

Sources: the model zoos of human-pose-estimation.pytorch, MMPose, Detectron2 and Detectron. The scores are those of the
publishers. Scores of keypoint networks are for COCO val2017 with the boxes of a detector of 56.4 AP (person), with flip
test.
"""

from __future__ import annotations

import dataclasses
import hashlib
import pathlib
import re
from collections.abc import Mapping

_MMPOSE = "https://download.openmmlab.com/mmpose/v1/body_2d_keypoint/topdown_heatmap/coco"
_DETECTRON2 = "https://dl.fbaipublicfiles.com/detectron2/COCO-Keypoints"
_DETECTRON = "https://dl.fbaipublicfiles.com/detectron"
_DETECTRON_FILE = (
    "output/train/keypoints_coco_2014_train%3Akeypoints_coco_2014_valminusminival/generalized_rcnn/model_final.pkl"
)
MICROSOFT_FOLDER = "https://drive.google.com/drive/folders/13_wJ6nC7my1KKouMkQMqyr9r1ZnLnukP"
# Sizes of the float32 weights of networks with 17 joints, by depth.
_POSE_RESNET_MEGABYTES = {50: 136, 101: 212, 152: 275}


@dataclasses.dataclass(frozen=True)
class PublicCheckpoint:
    """A checkpoint file that others have published.

    Attributes:
        url: Address of the file, or of the page where a browser can download it.
        expected: Published scores.
        megabytes: Approximate size in millions of bytes; None if it is not known.
        is_direct: Whether `url` is the file itself.
        sha256_prefix: First hexadecimal digits of the file's SHA-256; '' if its name does not contain them.
    """

    url: str
    expected: str
    megabytes: int | None = None
    is_direct: bool = True
    sha256_prefix: str = ""

    @property
    def file_name(self) -> str:
        """The name of the file."""
        return self.url.rsplit("/", 1)[1]


def _digits_in_name(name: str) -> str:
    """Returns the digits of the SHA-256 that MMPose and Detectron2 put into the names of their files."""
    match = re.search(r"-([0-9a-f]{8})_\d{8}\.pth$|/model_final_([0-9a-f]{6})\.pkl$", name)
    return (match[1] or match[2]) if match else ""


def _mmpose(depth: int, file_name: str, average_precision: float) -> PublicCheckpoint:
    return PublicCheckpoint(
        f"{_MMPOSE}/{file_name}",
        f"{average_precision} keypoint AP",
        _POSE_RESNET_MEGABYTES[depth],
        sha256_prefix=_digits_in_name(file_name),
    )


def _microsoft(depth: int, average_precision: float) -> PublicCheckpoint:
    return PublicCheckpoint(
        MICROSOFT_FOLDER, f"{average_precision} keypoint AP", _POSE_RESNET_MEGABYTES[depth], is_direct=False
    )


def _detectron2(config: str, run: str, digits: str, box: float, keypoint: float, megabytes: int) -> PublicCheckpoint:
    return PublicCheckpoint(
        f"{_DETECTRON2}/keypoint_rcnn_{config}/{run}/model_final_{digits}.pkl",
        f"{box} box AP, {keypoint} keypoint AP",
        megabytes,
        sha256_prefix=digits,
    )


def _detectron(run: str, config: str, box: float, keypoint: float) -> PublicCheckpoint:
    return PublicCheckpoint(
        f"{_DETECTRON}/{run}/12_2017_baselines/e2e_keypoint_rcnn_{config}/{_DETECTRON_FILE}",
        f"{box} box AP, {keypoint} keypoint AP with its own conventions",
    )


PUBLIC_CHECKPOINTS: Mapping[str, PublicCheckpoint] = {
    "microsoft_r50_256x192": _microsoft(50, 70.4),
    "microsoft_r50_384x288": _microsoft(50, 72.2),
    "microsoft_r101_256x192": _microsoft(101, 71.4),
    "microsoft_r101_384x288": _microsoft(101, 73.6),
    "microsoft_r152_256x192": _microsoft(152, 72.0),
    "microsoft_r152_384x288": _microsoft(152, 74.3),
    "mmpose_r50_256x192": _mmpose(50, "td-hm_res50_8xb64-210e_coco-256x192-04af38ce_20220923.pth", 71.8),
    "mmpose_r50_384x288": _mmpose(50, "td-hm_res50_8xb64-210e_coco-384x288-7b8db90e_20220923.pth", 73.1),
    "mmpose_r101_256x192": _mmpose(101, "td-hm_res101_8xb64-210e_coco-256x192-065d3625_20220926.pth", 72.8),
    "mmpose_r152_256x192": _mmpose(152, "td-hm_res152_8xb32-210e_coco-256x192-0345f330_20220928.pth", 73.6),
    "mmpose_r152_384x288": _mmpose(152, "td-hm_res152_8xb32-210e_coco-384x288-7fbb906f_20220927.pth", 75.0),
    "mmpose_r50_dark_256x192": _mmpose(50, "td-hm_res50_dark-8xb64-210e_coco-256x192-c129dcb6_20220926.pth", 72.4),
    "mmpose_r50_dark_384x288": _mmpose(50, "td-hm_res50_dark-8xb64-210e_coco-384x288-8b90b538_20220926.pth", 73.5),
    "mmpose_r101_dark_384x288": _mmpose(101, "td-hm_res101_dark-8xb64-210e_coco-384x288-487d40a4_20220926.pth", 74.9),
    "mmpose_r152_dark_384x288": _mmpose(152, "td-hm_res152_dark-8xb32-210e_coco-384x288-329f8454_20221031.pth", 75.5),
    "detectron2_r50_1x": _detectron2("R_50_FPN_1x", "137261548", "04e291", 53.6, 64.0, 237),
    "detectron2_r50_3x": _detectron2("R_50_FPN_3x", "137849621", "a6e10b", 55.4, 65.5, 237),
    "detectron2_r101_3x": _detectron2("R_101_FPN_3x", "138363331", "997cc7", 56.4, 66.1, 313),
    "detectron2_x101_3x": _detectron2("X_101_32x8d_FPN_3x", "139686956", "5ad38f", 57.3, 66.0, 490),
    "detectron_r50_s1x": _detectron("37697714", "R-50-FPN_s1x.yaml.08_44_03.qrQ0ph6M", 54.3, 65.4),
    "detectron_x101_s1x": _detectron("37732318", "X-101-32x8d-FPN_s1x.yaml.16_55_09.Lx8H5JVu", 56.9, 67.0),
}


def checkpoint_at(url: str) -> tuple[str, PublicCheckpoint]:
    """Returns the checkpoint of an address, which need not be in the table, and a name for it in the cache."""
    for name, public in PUBLIC_CHECKPOINTS.items():
        if public.is_direct and public.url == url:
            return name, public
    public = PublicCheckpoint(url, "", sha256_prefix=_digits_in_name(url))
    if public.file_name in ("", ".", ".."):
        raise ValueError(f"address must be that of a file, got {url}")
    return hashlib.sha256(url.encode()).hexdigest()[:16], public


def expected_scores(path: pathlib.Path) -> str:
    """Returns the published scores of the public checkpoint with this file name; '' if there is none."""
    name = path.name.lower()
    for public in PUBLIC_CHECKPOINTS.values():
        if public.is_direct and public.file_name.lower() == name and name != "model_final.pkl":
            return public.expected
    match = re.match(r"pose_resnet_(\d+)_(\d+x\d+)\.pth", name)
    known = PUBLIC_CHECKPOINTS.get(f"microsoft_r{match[1]}_{match[2]}") if match else None
    return known.expected if known else ""
