"""Public checkpoints by name: addresses, sizes and published scores.

Sources: the model zoos of human-pose-estimation.pytorch, MMPose, Detectron2, Detectron and PaddleDetection. The scores
are those of the publishers. Those of keypoint networks are for COCO val2017 with the boxes of a detector of 56.4 AP
(person), with flip test, unless they say otherwise.
"""

from __future__ import annotations

import dataclasses
import hashlib
import pathlib
import re
from collections.abc import Mapping

_MMPOSE = "https://download.openmmlab.com/mmpose/v1/body_2d_keypoint/topdown_heatmap/coco"
_MMPOSE_0 = "https://download.openmmlab.com/mmpose/top_down"
_PADDLE = "https://bj.bcebos.com/v1/paddledet/models/keypoint/tinypose_enhance"
_DETECTRON2 = "https://dl.fbaipublicfiles.com/detectron2/COCO-Keypoints"
_DETECTRON = "https://dl.fbaipublicfiles.com/detectron"
_DETECTRON_FILE = (
    "output/train/keypoints_coco_2014_train%3Akeypoints_coco_2014_valminusminival/generalized_rcnn/model_final.pkl"
)
MICROSOFT_FOLDER = "https://drive.google.com/drive/folders/13_wJ6nC7my1KKouMkQMqyr9r1ZnLnukP"
# Sizes of the float32 weights of networks with 17 joints.
_MEGABYTES = {"res50": 136, "res101": 212, "res152": 275, "hrnet-w32": 115, "hrnet-w48": 255}


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


def _mmpose(network: str, size_and_digits: str, average_precision: float) -> PublicCheckpoint:
    """Returns a file of MMPose 1.x, for a network such as 'res50', 'res50_dark' or 'hrnet-w32_udp'."""
    trunk, _, variant = network.partition("_")
    batch = "8xb32" if trunk in ("res152", "hrnet-w48") else "8xb64"
    separator = "-" if variant else "_"
    file_name = f"td-hm_{network}{separator}{batch}-210e_coco-{size_and_digits}.pth"
    return PublicCheckpoint(
        f"{_MMPOSE}/{file_name}",
        f"{average_precision} keypoint AP",
        _MEGABYTES[trunk],
        sha256_prefix=_digits_in_name(file_name),
    )


def _posetrack18(network: str, size_and_digits: str, with_boxes: float, detected: float | None) -> PublicCheckpoint:
    """Returns a file of MMPose 0.x that was fine-tuned on PoseTrack 2018."""
    folder = "resnet" if network.startswith("res") else "hrnet"
    file_name = f"{network}_posetrack18_{size_and_digits}.pth"
    scores = f"{with_boxes} mAP on PoseTrack 2018 val with annotated boxes"
    if detected is not None:
        scores += f", {detected} with those of a Cascade R-CNN"
    return PublicCheckpoint(
        f"{_MMPOSE_0}/{folder}/{file_name}",
        scores,
        _MEGABYTES[network.replace("_", "-")],
        sha256_prefix=_digits_in_name(file_name),
    )


def _tinypose(file_name: str, average_precision: float) -> PublicCheckpoint:
    expected = f"{average_precision} keypoint AP with annotated boxes"
    return PublicCheckpoint(f"{_PADDLE}/{file_name}", expected, 6)


def _microsoft(depth: int, average_precision: float) -> PublicCheckpoint:
    return PublicCheckpoint(
        MICROSOFT_FOLDER, f"{average_precision} keypoint AP", _MEGABYTES[f"res{depth}"], is_direct=False
    )


def _picodet(file_name: str, average_precision: float) -> PublicCheckpoint:
    return PublicCheckpoint(f"{_PADDLE}/{file_name}", f"{average_precision} box AP of people", 5)


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
    "mmpose_r50_256x192": _mmpose("res50", "256x192-04af38ce_20220923", 71.8),
    "mmpose_r50_384x288": _mmpose("res50", "384x288-7b8db90e_20220923", 73.1),
    "mmpose_r101_256x192": _mmpose("res101", "256x192-065d3625_20220926", 72.8),
    "mmpose_r152_256x192": _mmpose("res152", "256x192-0345f330_20220928", 73.6),
    "mmpose_r152_384x288": _mmpose("res152", "384x288-7fbb906f_20220927", 75.0),
    "mmpose_r50_dark_256x192": _mmpose("res50_dark", "256x192-c129dcb6_20220926", 72.4),
    "mmpose_r50_dark_384x288": _mmpose("res50_dark", "384x288-8b90b538_20220926", 73.5),
    "mmpose_r101_dark_384x288": _mmpose("res101_dark", "384x288-487d40a4_20220926", 74.9),
    "mmpose_r152_dark_384x288": _mmpose("res152_dark", "384x288-329f8454_20221031", 75.5),
    "mmpose_hrnet_w32_256x192": _mmpose("hrnet-w32", "256x192-81c58e40_20220909", 74.9),
    "mmpose_hrnet_w32_384x288": _mmpose("hrnet-w32", "384x288-ca5956af_20220909", 76.1),
    "mmpose_hrnet_w48_256x192": _mmpose("hrnet-w48", "256x192-0e67c616_20220913", 75.6),
    "mmpose_hrnet_w48_384x288": _mmpose("hrnet-w48", "384x288-c161b7de_20220915", 76.7),
    "mmpose_hrnet_w32_dark_256x192": _mmpose("hrnet-w32_dark", "256x192-0e00bf12_20220914", 75.7),
    "mmpose_hrnet_w32_dark_384x288": _mmpose("hrnet-w32_dark", "384x288-9bab4c9b_20220917", 76.6),
    "mmpose_hrnet_w48_dark_256x192": _mmpose("hrnet-w48_dark", "256x192-e1ebdd6f_20220913", 76.4),
    "mmpose_hrnet_w48_dark_384x288": _mmpose("hrnet-w48_dark", "384x288-39c3c381_20220916", 77.2),
    "mmpose_hrnet_w32_udp_256x192": _mmpose("hrnet-w32_udp", "256x192-73ede547_20220914", 76.2),
    "mmpose_hrnet_w32_udp_384x288": _mmpose("hrnet-w32_udp", "384x288-9a3f7c85_20220914", 76.8),
    "mmpose_hrnet_w48_udp_256x192": _mmpose("hrnet-w48_udp", "256x192-3feaef8f_20220913", 76.8),
    "mmpose_hrnet_w48_udp_384x288": _mmpose("hrnet-w48_udp", "384x288-70d7ab01_20220913", 77.3),
    "mmpose_r50_posetrack18_256x192": _posetrack18("res50", "256x192-a62807c7_20201028", 81.2, None),
    "mmpose_hrnet_w32_posetrack18_256x192": _posetrack18("hrnet_w32", "256x192-1ee951c4_20201028", 83.4, 76.9),
    "mmpose_hrnet_w32_posetrack18_384x288": _posetrack18("hrnet_w32", "384x288-806f00a3_20211130", 83.7, 77.3),
    "mmpose_hrnet_w48_posetrack18_256x192": _posetrack18("hrnet_w48", "256x192-b5d9b3f1_20211130", 84.6, 77.4),
    "mmpose_hrnet_w48_posetrack18_384x288": _posetrack18("hrnet_w48", "384x288-5fd6d3ff_20211130", 84.6, 77.8),
    "tinypose_256x192": _tinypose("tinypose_256x192.pdparams", 68.3),
    "tinypose_128x96": _tinypose("tinypose_128x96.pdparams", 58.4),
    "picodet_s_320": _picodet("picodet_s_320_lcnet_pedestrian.pdparams", 41.6),
    "picodet_s_192": _picodet("picodet_s_192_lcnet_pedestrian.pdparams", 31.7),
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
