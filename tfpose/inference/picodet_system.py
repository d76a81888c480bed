"""The description of a PicoDet in the work folder of its weights."""

from __future__ import annotations

import dataclasses
import pathlib

import keras

from tfpose.crops import Normalization
from tfpose.json_files import read_json, write_json
from tfpose.models.picodet import PICODET_STRIDES, PUBLISHED_SCALE, PUBLISHED_WIDTH, build_picodet
from tfpose.typed_json import build_typed, describing

PICODET_FILE = "picodet.json"


@dataclasses.dataclass(frozen=True)
class PicodetSettings:
    """A PicoDet and how its output becomes boxes (PaddleDetection's post-processing).

    Attributes:
        input_size: (height, width) of the network's input in pixels; images are stretched to it.
        width: Channels of the path aggregation network and of the heads.
        scale: Factor of the channels of the backbone.
        score_threshold: Boxes with this score or a lower one are left out.
        iou_threshold: A box is left out if its overlap with a better box is larger.
        num_candidates: Number of boxes of the best scores that are compared with each other.
        max_people: Number of boxes that are kept at most.
    """

    input_size: tuple[int, int]
    width: int = PUBLISHED_WIDTH
    scale: float = PUBLISHED_SCALE
    score_threshold: float = 0.025
    iou_threshold: float = 0.6
    num_candidates: int = 1000
    max_people: int = 100

    def __post_init__(self) -> None:
        rules = {
            "input_size": (
                all(side >= 1 and side % PICODET_STRIDES[-1] == 0 for side in self.input_size),
                f"be multiples of {PICODET_STRIDES[-1]}",
            ),
            "width": (self.width >= 1, "be at least 1"),
            "scale": (self.scale > 0, "be above 0"),
            "score_threshold": (0 <= self.score_threshold < 1, "lie in [0, 1)"),
            "iou_threshold": (0 < self.iou_threshold <= 1, "lie in (0, 1]"),
            "num_candidates": (self.num_candidates >= 1, "be at least 1"),
            "max_people": (self.max_people >= 1, "be at least 1"),
        }
        for field, (is_kept, rule) in rules.items():
            if not is_kept:
                raise ValueError(f"{field} must {rule}, got {getattr(self, field)!r}")

    @property
    def normalization(self) -> Normalization:
        """How an image becomes the network's input."""
        return Normalization()

    def build_network(self) -> keras.Model:
        """Returns a network with fresh weights."""
        return build_picodet(self.width, self.scale, self.input_size)


def write_picodet_settings(workdir: str | pathlib.Path, settings: PicodetSettings) -> None:
    """Writes the description of a network into a work folder, which makes its weights usable."""
    write_json(pathlib.Path(workdir) / PICODET_FILE, dataclasses.asdict(settings), indent=2)


def read_picodet_settings(workdir: str | pathlib.Path) -> PicodetSettings:
    """Reads the settings of the network that the weights in a work folder belong to.

    Raises:
        FileNotFoundError: The folder is not the work folder of a PicoDet.
        ValueError: Its description is damaged.
    """
    path = pathlib.Path(workdir) / PICODET_FILE
    if not path.is_file():
        raise FileNotFoundError(f"{path}: not found; expected the work folder of a PicoDet")
    values = read_json(path)
    with describing(path, "the description of a PicoDet"):
        return build_typed(PicodetSettings, values, "settings")
