"""The settings of a Keypoint R-CNN, and the settings of the published networks."""

from __future__ import annotations

import dataclasses
from typing import Literal

from tfpose.models.keypoint_rcnn.conventions import CONVENTIONS, Conventions

StrideIn = Literal["1x1", "3x3"]
Normalization = Literal["frozen", "batch"]
GroupedConvolution = Literal["auto", "blocks", "native"]
ConventionsName = Literal["detectron2", "detectron"]

# The levels p2..p6 of the feature pyramid; the heads of the boxes read the first four.
STRIDES = (4, 8, 16, 32, 64)
NUM_ROI_LEVELS = 4
LOWEST_LEVEL = 2
SIZE_MULTIPLE = 32

# Boxes and keypoints of the network lie in a plane in which pixel i covers [i, i + 1]. Annotations give keypoints as
# pixel indices, so these are shifted on their way in and out; their boxes are taken as they are (Detectron2,
# `structures/keypoints.py`).
KEYPOINT_OFFSET = 0.5


@dataclasses.dataclass(frozen=True)
class ProposalSettings:
    """The settings that turn anchors into proposals.

    Lin et al., "Feature Pyramid Networks for Object Detection", 2017, section 4.1; numbers of Detectron2's keypoint
    configurations.

    Attributes:
        max_per_level: Number of best anchors of each level that are decoded.
        max_proposals: Number of best proposals of an image that remain, over all levels.
        iou_threshold: Overlap with a better proposal of the same level above which a proposal is dropped.
    """

    max_per_level: int = 1000
    max_proposals: int = 1000
    iou_threshold: float = 0.7


@dataclasses.dataclass(frozen=True)
class DetectionSettings:
    """The settings that turn proposals into people.

    Attributes:
        score_threshold: Score that a person must exceed.
        iou_threshold: Overlap with a better person's box above which a person is dropped.
        max_detections: Largest number of people in an image; the best ones are kept.
    """

    score_threshold: float = 0.05
    iou_threshold: float = 0.5
    max_detections: int = 100


@dataclasses.dataclass(frozen=True)
class KeypointRcnnSettings:
    """The settings of a network. The defaults are Detectron2's `keypoint_rcnn_R_50_FPN_3x`.

    He et al., "Mask R-CNN", 2017, section 5; trunk: He et al., 2015, or Xie et al., "Aggregated Residual
    Transformations for Deep Neural Networks", 2017.

    Attributes:
        blocks_per_stage: Numbers of bottlenecks of res2..res5.
        stem_width: Channels of the stem.
        inner_width: Channels of the 3x3 convolutions of res2, doubled in each later stage.
        outer_width: Channels of the output of res2, doubled in each later stage.
        num_groups: Groups of the 3x3 convolutions in the bottlenecks.
        stride_in: Convolution of a bottleneck that halves the size. Weights load with either choice, but give the right
            network only with the one that they were trained with.
        normalization: "frozen" for affine maps that are not trained, "batch" for batch normalization, to train from
            scratch.
        num_frozen_stages: Number of parts of the trunk that are not trained: 1 for the stem, 2 for the stem and res2,
            and so on.
        grouped_convolution: Computation of grouped convolutions: "blocks", as dense convolutions of blocks of channels,
            is fast on CPUs; "native" leaves it to the backend and is fast on GPUs; "auto" takes what suits the machine
            that builds the graph.
        pyramid_width: Channels of p2..p6.
        anchor_sizes: Square roots of the anchors' areas in pixels, for p2..p6.
        anchor_ratios: Ratios of the anchors' heights to their widths.
        box_head_width: Units of the two dense layers.
        keypoint_head_widths: Channels of the keypoint head's convolutions; () leaves the head out.
        num_joints: Number of joints of a person.
        pixel_mean: Mean of blue, green and red, subtracted from 0..255.
        pixel_std: Divisors of blue, green and red after that.
        shortest_edge: Length of the shorter side of the resized image in pixels.
        longest_edge: Largest length of the longer side in pixels; has priority over `shortest_edge`.
        conventions: Name of the conventions of boxes, anchors and samples, one of `CONVENTIONS`; must be those that the
            weights were trained with.
        proposals: Settings of the proposals in inference.
        training_proposals: Settings of the proposals in training.
        detections: Settings of the detections in inference.
    """

    blocks_per_stage: tuple[int, int, int, int] = (3, 4, 6, 3)
    stem_width: int = 64
    inner_width: int = 64
    outer_width: int = 256
    num_groups: int = 1
    stride_in: StrideIn = "1x1"
    normalization: Normalization = "frozen"
    num_frozen_stages: int = 2
    grouped_convolution: GroupedConvolution = "auto"
    pyramid_width: int = 256
    anchor_sizes: tuple[float, ...] = (32.0, 64.0, 128.0, 256.0, 512.0)
    anchor_ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
    box_head_width: int = 1024
    keypoint_head_widths: tuple[int, ...] = (512,) * 8
    num_joints: int = 17
    pixel_mean: tuple[float, float, float] = (103.53, 116.28, 123.675)
    pixel_std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    shortest_edge: int = 800
    longest_edge: int = 1333
    conventions: ConventionsName = "detectron2"
    proposals: ProposalSettings = ProposalSettings()
    training_proposals: ProposalSettings = ProposalSettings(max_per_level=2000, max_proposals=1500)
    detections: DetectionSettings = DetectionSettings()

    def __post_init__(self) -> None:
        allowed = {
            "stride_in": ("1x1", "3x3"),
            "normalization": ("frozen", "batch"),
            "grouped_convolution": ("auto", "blocks", "native"),
            "conventions": tuple(CONVENTIONS),
        }
        for name, values in allowed.items():
            if getattr(self, name) not in values:
                raise ValueError(f"{name} must be one of {values}, got {getattr(self, name)!r}.")
        for name in ("stem_width", "inner_width", "outer_width", "num_groups", "pyramid_width", "box_head_width"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)!r}.")
        lengths = {"blocks_per_stage": 4, "anchor_sizes": len(STRIDES), "pixel_mean": 3, "pixel_std": 3}
        for name, length in lengths.items():
            if len(getattr(self, name)) != length:
                raise ValueError(f"{name} must have {length} entries, got {getattr(self, name)!r}.")
        if self.inner_width % self.num_groups:
            raise ValueError(f"inner_width must divide by num_groups, got {self.inner_width} and {self.num_groups}.")
        if not 0 <= self.num_frozen_stages <= 5:
            raise ValueError(f"num_frozen_stages must be in 0..5, got {self.num_frozen_stages!r}.")
        if self.has_keypoint_head and self.num_joints < 1:
            raise ValueError(f"num_joints must be at least 1, got {self.num_joints!r}.")
        if not 1 <= self.shortest_edge <= self.longest_edge:
            raise ValueError(
                "shortest_edge must be at least 1 and no longer than longest_edge, "
                f"got {self.shortest_edge!r} and {self.longest_edge!r}."
            )

    @property
    def has_keypoint_head(self) -> bool:
        """Whether the network finds joints, not only boxes."""
        return bool(self.keypoint_head_widths)

    @property
    def box_conventions(self) -> Conventions:
        """The conventions of boxes, anchors and samples that `conventions` names."""
        return CONVENTIONS[self.conventions]

    def without_keypoints(self) -> KeypointRcnnSettings:
        """Returns the same network for boxes only."""
        return dataclasses.replace(self, keypoint_head_widths=())


RESNET50 = KeypointRcnnSettings()
RESNET101 = KeypointRcnnSettings(blocks_per_stage=(3, 4, 23, 3))
RESNEXT101_32X8D = KeypointRcnnSettings(
    blocks_per_stage=(3, 4, 23, 3),
    inner_width=256,
    num_groups=32,
    stride_in="3x3",
    pixel_std=(57.375, 57.12, 58.395),
)
