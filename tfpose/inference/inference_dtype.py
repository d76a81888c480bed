"""The number formats in which networks can find poses and people."""

from __future__ import annotations

import dataclasses

INFERENCE_DTYPES = ("float32", "bfloat16", "auto")
# Loss of average precision, in percent points, from which "auto" keeps float32.
LEAST_REFUSED_LOSS = 0.2


@dataclasses.dataclass(frozen=True)
class InferenceDtype:
    """The number format of inference that the user asks for.

    Attributes:
        name: "float32", "bfloat16", or "auto": bfloat16 if the device multiplies bfloat16 numbers and the network loses
            less than 0.2 AP on a split of a dataset, else float32.
        dataset: Folder of a dataset that tfpose build wrote. Required for "auto".
        split: Split of the dataset.

    Example:
        >>> InferenceDtype("auto", "data/coco", "val").split
        'val'
    """

    name: str = "float32"
    dataset: str = ""
    split: str = "val"

    def __post_init__(self) -> None:
        if self.name not in INFERENCE_DTYPES:
            raise ValueError(f"inference_dtype must be one of {', '.join(INFERENCE_DTYPES)}, got {self.name!r}")
        if self.name == "auto" and not self.dataset:
            raise ValueError("inference_dtype='auto' requires a dataset to measure the loss of accuracy on, got none")

    @property
    def of_detector(self) -> str:
        """The number format of a person detector before a keypoint network.

        "auto" measures the keypoint network alone, in annotated boxes, so the detector keeps float32.
        """
        return "bfloat16" if self.name == "bfloat16" else "float32"


FLOAT32 = InferenceDtype()
