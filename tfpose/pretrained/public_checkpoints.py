"""Public checkpoints by name: addresses, sizes, published scores and terms.

Sources: the model zoos of human-pose-estimation.pytorch, MMPose, ViTPose, Detectron2, Detectron and PaddleDetection.
The publishers measured the scores: those of keypoint networks on COCO val2017 with the boxes of a detector (56.4 AP of
people) and with flip test, unless an entry says otherwise.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import pathlib
import re
from collections.abc import Mapping

_MMPOSE = "https://download.openmmlab.com/mmpose/v1/body_2d_keypoint/topdown_heatmap/coco"
_MMPOSE_0 = "https://download.openmmlab.com/mmpose/top_down"
_VITPOSE = "https://huggingface.co/usyd-community"
_PADDLE = "https://bj.bcebos.com/v1/paddledet/models/keypoint/tinypose_enhance"
_PADDLE_DATA = "COCO, AI Challenger and the publisher's own pictures"
_VITPOSE_DATA = "COCO, AI Challenger and MPII"
_VITPOSE_PLUS_DATA = "COCO, AI Challenger, MPII, AP-10K, APT-36K and COCO-WholeBody"
_DETECTRON2 = "https://dl.fbaipublicfiles.com/detectron2/COCO-Keypoints"
_DETECTRON = "https://dl.fbaipublicfiles.com/detectron"
_DETECTRON_FILE = (
    "output/train/keypoints_coco_2014_train%3Akeypoints_coco_2014_valminusminival/generalized_rcnn/model_final.pkl"
)
MICROSOFT_FOLDER = "https://drive.google.com/drive/folders/13_wJ6nC7my1KKouMkQMqyr9r1ZnLnukP"
# The small system that runs if the user names no model.
DEFAULT_MODEL, DEFAULT_DETECTOR = "tinypose_256x192", "picodet_s_320"
# Sizes of the float32 weights of networks with 17 joints.
_MEGABYTES = {"res50": 136, "res101": 212, "res152": 275, "hrnet-w32": 115, "hrnet-w48": 255}
_VITPOSE_MEGABYTES = {"small": 97, "base": 360, "large": 1234, "huge": 2549}
_VITPOSE_SIMPLE_MEGABYTES = {"small": 87, "base": 344, "large": 1214, "huge": 2524}


@dataclasses.dataclass(frozen=True)
class Publisher:
    """Who published a checkpoint, and under which terms.

    Attributes:
        name: Name of the repository.
        license: License that the publisher states for the repository or, where it has one of its own, for the weights.
    """

    name: str
    license: str


MICROSOFT = Publisher("Microsoft human-pose-estimation.pytorch", "MIT")
MMPOSE = Publisher("MMPose", "Apache-2.0")
VITPOSE = Publisher("ViTPose", "Apache-2.0")
PADDLE = Publisher("PaddleDetection", "Apache-2.0")
# The licenses of the weights; the code is under Apache-2.0.
DETECTRON2 = Publisher("Detectron2", "CC BY-SA 3.0")
DETECTRON = Publisher("Detectron", "CC BY-SA 3.0")
UNKNOWN_PUBLISHER = Publisher("unknown", "unknown")


@dataclasses.dataclass(frozen=True)
class PublicCheckpoint:
    """A checkpoint file that others have published.

    Attributes:
        url: Address of the file, or of the page where a browser can download it.
        expected: Published scores.
        publisher: Who published the file, and under which terms.
        data: Datasets that the weights were trained on; each has terms of its own.
        megabytes: Approximate size in millions of bytes; None if it is not known.
        is_detector: Whether the network finds people; other networks find the joints of a person in a box.
        page_file: Name of the file, if `url` is a page where only a browser can download it.
        digest: Algorithm of `digits`, 'sha256' or 'md5'.
        digits: First hexadecimal digits of the file's digest; '' if its name does not contain them.
        other_name: Another name under which the file is known; '' for none.
    """

    url: str
    expected: str
    publisher: Publisher
    data: str
    megabytes: int | None = None
    is_detector: bool = False
    page_file: str = ""
    digest: str = "sha256"
    digits: str = ""
    other_name: str = ""

    @property
    def is_direct(self) -> bool:
        """Whether `url` is the file itself."""
        return not self.page_file

    @property
    def file_name(self) -> str:
        """The publisher's name of the file."""
        return self.page_file or self.url.rsplit("/", 1)[1]

    @property
    def terms(self) -> str:
        """The terms in words: the publisher's license, and whose data the weights were trained on."""
        if self.publisher == UNKNOWN_PUBLISHER:
            return "license unknown"
        return f"{self.publisher.license} of {self.publisher.name}; the training data has its own terms: {self.data}"


def _digits_in_name(name: str) -> tuple[str, str]:
    """Returns the algorithm and first digits of the digest that MMPose and Detectron2 put into names of files."""
    if match := re.search(r"-([0-9a-f]{8})_\d{8}\.pth$", name):
        return "sha256", match[1]
    match = re.search(r"/model_final_([0-9a-f]{6})\.pkl$", name)
    return "md5", match[1] if match else ""


def _mmpose(network: str, size_and_digits: str, average_precision: float) -> PublicCheckpoint:
    """Returns a file of MMPose 1.x, for a network such as 'res50', 'res50_dark' or 'hrnet-w32_udp'."""
    trunk, _, variant = network.partition("_")
    batch = "8xb32" if trunk in ("res152", "hrnet-w48") else "8xb64"
    separator = "-" if variant else "_"
    file_name = f"td-hm_{network}{separator}{batch}-210e_coco-{size_and_digits}.pth"
    return PublicCheckpoint(
        f"{_MMPOSE}/{file_name}",
        f"{average_precision} keypoint AP",
        MMPOSE,
        "COCO",
        _MEGABYTES[trunk],
        digits=_digits_in_name(file_name)[1],
    )


def _mmpose_vitpose(network: str, digits_and_date: str, average_precision: float) -> PublicCheckpoint:
    """Returns a ViTPose that MMPose 1.x trained, for a network such as 'base' or 'base-simple'."""
    size, _, decoder = network.partition("-")
    return PublicCheckpoint(
        f"{_MMPOSE}/td-hm_ViTPose-{network}_8xb64-210e_coco-256x192-{digits_and_date}.pth",
        f"{average_precision} keypoint AP",
        MMPOSE,
        "COCO",
        (_VITPOSE_SIMPLE_MEGABYTES if decoder else _VITPOSE_MEGABYTES)[size],
        digits=digits_and_date[:8],
    )


def _vitpose(repository: str, average_precision: float, data: str, megabytes: int) -> PublicCheckpoint:
    """Returns a ViTPose of its authors, as Hugging Face's library stores it."""
    return PublicCheckpoint(
        f"{_VITPOSE}/{repository}/resolve/main/model.safetensors",
        f"{average_precision} keypoint AP",
        VITPOSE,
        data,
        megabytes,
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
        MMPOSE,
        "COCO and PoseTrack 2018",
        _MEGABYTES[network.replace("_", "-")],
        digits=_digits_in_name(file_name)[1],
    )


def _tinypose(file_name: str, average_precision: float) -> PublicCheckpoint:
    expected = f"{average_precision} keypoint AP with annotated boxes"
    return PublicCheckpoint(f"{_PADDLE}/{file_name}", expected, PADDLE, _PADDLE_DATA, 6)


def _picodet(side: int, average_precision: float) -> PublicCheckpoint:
    return PublicCheckpoint(
        f"{_PADDLE}/picodet_s_{side}_lcnet_pedestrian.pdparams",
        f"{average_precision} box AP of people",
        PADDLE,
        _PADDLE_DATA,
        5,
        is_detector=True,
        other_name=f"picodet_s_{side}_pedestrian.pdparams",
    )


def _microsoft(depth: int, size: str, average_precision: float) -> PublicCheckpoint:
    return PublicCheckpoint(
        MICROSOFT_FOLDER,
        f"{average_precision} keypoint AP",
        MICROSOFT,
        "COCO",
        _MEGABYTES[f"res{depth}"],
        page_file=f"pose_resnet_{depth}_{size}.pth.tar",
    )


def _detectron2(config: str, run: str, digits: str, box: float, keypoint: float, megabytes: int) -> PublicCheckpoint:
    return PublicCheckpoint(
        f"{_DETECTRON2}/keypoint_rcnn_{config}/{run}/model_final_{digits}.pkl",
        f"{box} box AP, {keypoint} keypoint AP",
        DETECTRON2,
        "COCO",
        megabytes,
        is_detector=True,
        digest="md5",
        digits=digits,
    )


def _detectron(run: str, config: str, box: float, keypoint: float) -> PublicCheckpoint:
    return PublicCheckpoint(
        f"{_DETECTRON}/{run}/12_2017_baselines/e2e_keypoint_rcnn_{config}/{_DETECTRON_FILE}",
        f"{box} box AP, {keypoint} keypoint AP with its own conventions",
        DETECTRON,
        "COCO",
        is_detector=True,
    )


PUBLIC_CHECKPOINTS: Mapping[str, PublicCheckpoint] = {
    "microsoft_r50_256x192": _microsoft(50, "256x192", 70.4),
    "microsoft_r50_384x288": _microsoft(50, "384x288", 72.2),
    "microsoft_r101_256x192": _microsoft(101, "256x192", 71.4),
    "microsoft_r101_384x288": _microsoft(101, "384x288", 73.6),
    "microsoft_r152_256x192": _microsoft(152, "256x192", 72.0),
    "microsoft_r152_384x288": _microsoft(152, "384x288", 74.3),
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
    "mmpose_vitpose_small": _mmpose_vitpose("small", "62d7a712_20230314", 73.9),
    "mmpose_vitpose_base": _mmpose_vitpose("base", "216eae50_20230314", 75.7),
    "mmpose_vitpose_large": _mmpose_vitpose("large", "53609f55_20230314", 78.2),
    "mmpose_vitpose_huge": _mmpose_vitpose("huge", "e32adcd4_20230314", 78.8),
    "mmpose_vitpose_small_simple": _mmpose_vitpose("small-simple", "4c101a76_20230314", 73.6),
    "mmpose_vitpose_base_simple": _mmpose_vitpose("base-simple", "0b8234ea_20230407", 75.6),
    "mmpose_vitpose_large_simple": _mmpose_vitpose("large-simple", "3a7ee9e1_20230314", 78.1),
    "mmpose_vitpose_huge_simple": _mmpose_vitpose("huge-simple", "ffd48c05_20230314", 78.9),
    "vitpose_base": _vitpose("vitpose-base", 75.8, "COCO", 360),
    "vitpose_base_simple": _vitpose("vitpose-base-simple", 75.5, "COCO", 344),
    "vitpose_base_coco_aic_mpii": _vitpose("vitpose-base-coco-aic-mpii", 77.1, _VITPOSE_DATA, 360),
    "vitpose_plus_small": _vitpose("vitpose-plus-small", 75.8, _VITPOSE_PLUS_DATA, 133),
    "vitpose_plus_base": _vitpose("vitpose-plus-base", 77.0, _VITPOSE_PLUS_DATA, 502),
    "vitpose_plus_large": _vitpose("vitpose-plus-large", 78.6, _VITPOSE_PLUS_DATA, 1738),
    "vitpose_plus_huge": _vitpose("vitpose-plus-huge", 79.4, _VITPOSE_PLUS_DATA, 3598),
    "tinypose_256x192": _tinypose("tinypose_256x192.pdparams", 68.3),
    "tinypose_128x96": _tinypose("tinypose_128x96.pdparams", 58.4),
    "picodet_s_320": _picodet(320, 41.6),
    "picodet_s_192": _picodet(192, 31.7),
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
    digest, digits = _digits_in_name(url)
    public = PublicCheckpoint(url, "", UNKNOWN_PUBLISHER, "", digest=digest, digits=digits)
    if public.file_name in ("", ".", ".."):
        raise ValueError(f"address must be that of a file, got {url}")
    return hashlib.sha256(url.encode()).hexdigest()[:16], public


def is_public_name(text: str) -> bool:
    """Returns whether a text is the name of a public checkpoint, and not that of a folder here."""
    return text in PUBLIC_CHECKPOINTS and not pathlib.Path(text).exists()


def choose_system(
    model: str | None, detector: str | None, use_flip_test: bool | None
) -> tuple[str, str | None, bool | None]:
    """Returns model, detector and flip test with the defaults for what a user leaves out.

    Without a model it is the small public system, without flip test unless the user asks for one. A public keypoint
    network has a public detector.
    """
    if model is None:
        model, use_flip_test = DEFAULT_MODEL, bool(use_flip_test)
    if detector is None and is_public_name(model):
        detector = DEFAULT_DETECTOR
    return model, detector, use_flip_test


def suggest_names(text: str) -> str:
    """Returns a hint with the names of public checkpoints that resemble a text; '' if there are none."""
    close = difflib.get_close_matches(text, PUBLIC_CHECKPOINTS, n=3, cutoff=0.75)
    return f"; did you mean the public checkpoint {' or '.join(close)}?" if close else ""


def expected_scores(path: pathlib.Path) -> str:
    """Returns the published scores of the public checkpoint with this file name; '' if there is none."""
    name = path.name.lower()
    known = [public for public in PUBLIC_CHECKPOINTS.values() if public.file_name.lower() == name]
    # Several files of Detectron have the same name.
    return known[0].expected if len(known) == 1 else ""
