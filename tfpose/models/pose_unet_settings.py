"""Size and departures of the single heatmap network: every setting that `pose_unet` is built from."""

from __future__ import annotations

import dataclasses
from typing import Literal, get_args

from tfpose.frame_fit import HEATMAP_STRIDE, NUM_STEM_STAGES
from tfpose.models.pose_resnet import BLOCKS_PER_STAGE, INPUT_STRIDE, EncoderDecoder, StrideIn

Normalization = Literal["none", "batch"]
Downsampling = Literal["pool", "stride"]
PersonFeatures = Literal["stem", "frame"]


@dataclasses.dataclass(frozen=True)
class PoseUnetSettings:
    """Size and start of the two networks; the defaults are the paper's.

    Attributes:
        input_size: (height, width) in pixels, each a multiple of `size_multiple`; None for a side that may vary.
        width: Channels of every convolution of the stem and of the first U-Net.
        person_width: Channels of the second U-Net; None takes `width`.
        person_features: Image features that the second U-Net sees beside the joint maps: those of the "stem", or those
            of the first U-Net, from which the joint maps come ("frame").
        person_stride: Stride of the first convolution of the second U-Net, 1 or 2. With 2 the second U-Net works at
            half the resolution and a quarter of the cost, and has one level less. Its filter maps are interpolated:
            they only choose among the joints that the joint maps locate.
        width_growth: Ratio of each level's channels to those of the level above; where the number changes on the way
            up, a 1x1 convolution adapts it. The paper's levels all have the same width. With equal widths, a small
            network has too few weights to tell a left arm from a right one.
        stem_widths: Channels of the two stages of the stem; None takes `width` for both.
        stem_downsampling: Layer of a stage of the stem that halves the size: "pool", after its two convolutions, or
            "stride", the first convolution, at a quarter of the cost.
        encoder_depth: 0 for the paper's stem and first U-Net. A depth of `build_pose_resnet` puts that network, without
            its heatmaps, in their place, so that training can start from its weights or from ImageNet's. Then `width`
            is that of its transposed convolutions, `person_features` must be "frame", and `l2` does not apply to its
            kernels.
        encoder_width: Argument `base_width` of that network.
        encoder_stride_in: Argument `stride_in` of that network.
        encoder_skip_connections: Argument `skip_connections` of that network.
        num_levels: Number of resolutions of each U-Net; it has one pooling less.
        convolutions_per_block: Convolutions of every level on the way down, and again on the way up.
        normalization: "batch" adds a batch normalization before every ReLU; "none" is the paper's.
        synchronize_batch_norm: Whether batch normalization uses the statistics of all replicas; TensorFlow only, and
            slower.
        head_mask_sigma_cells: Standard deviation of the Gaussian that lets the head map of one person through.
        heatmap_init_stddev: Standard deviation of the first weights of the layers that give heatmaps; None draws them
            as all others (He et al., 2015: truncated normal, 2 / fan-in).
        filter_init_bias: First bias of the filter maps. The paper's 0 starts near a saddle, where both factors of the
            product are small and neither learns; with 1 the filter lets everything through at first.
        l2: Factor on the sum of squares of each kernel in the loss.
        share_first_convolution: Whether the part of the person network's first convolution that all people share is
            computed once. False builds the plain form, in which the person network gets everything concatenated.
    """

    input_size: tuple[int | None, int | None] = (512, 896)
    width: int = 128
    person_width: int | None = None
    person_features: PersonFeatures = "stem"
    person_stride: int = 1
    width_growth: float = 1.0
    stem_widths: tuple[int, int] | None = None
    stem_downsampling: Downsampling = "pool"
    encoder_depth: int = 0
    encoder_width: int = 64
    encoder_stride_in: StrideIn = "3x3"
    encoder_skip_connections: bool = True
    num_levels: int = 6
    convolutions_per_block: int = 2
    normalization: Normalization = "none"
    synchronize_batch_norm: bool = False
    head_mask_sigma_cells: float = 4.0
    heatmap_init_stddev: float | None = None
    filter_init_bias: float = 0.0
    l2: float = 0.00025
    share_first_convolution: bool = True

    def __post_init__(self) -> None:
        choices = {
            "normalization": get_args(Normalization),
            "stem_downsampling": get_args(Downsampling),
            "person_features": get_args(PersonFeatures),
            "person_stride": (1, 2),
            "encoder_depth": (0, *BLOCKS_PER_STAGE),
            "encoder_stride_in": get_args(StrideIn),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {allowed}, got {getattr(self, name)!r}.")
        if self.encoder_depth and self.person_features != "frame":
            raise ValueError(
                f"person_features must be 'frame' with an encoder_depth (it has no stem), got {self.person_features!r}."
            )
        counts = ("width", "num_levels", "convolutions_per_block", "encoder_width")
        values = {name: getattr(self, name) for name in counts}
        values |= {"person_width": self.width_of_person, "stem_widths": min(self.widths_of_stem)}
        for name, value in values.items():
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value!r}.")
        if self.num_levels < self.person_stride:
            raise ValueError(f"num_levels must be at least 2 with person_stride 2, got {self.num_levels!r}.")
        if not self.width_growth >= 1:
            raise ValueError(f"width_growth must be at least 1, got {self.width_growth!r}.")
        if len(self.widths_of_stem) != NUM_STEM_STAGES:
            raise ValueError(f"stem_widths must have {NUM_STEM_STAGES} entries, got {self.stem_widths!r}.")
        if not self.head_mask_sigma_cells > 0 or self.l2 < 0:
            raise ValueError(
                "head_mask_sigma_cells must be above 0 and l2 not below, "
                f"got {self.head_mask_sigma_cells!r} and {self.l2!r}."
            )
        if len(self.input_size) != 2 or any(
            size is not None and (size < 1 or size % self.size_multiple) for size in self.input_size
        ):
            raise ValueError(
                f"input_size must be (height, width) in multiples of {self.size_multiple} for {self.num_levels} "
                f"levels, or None, got {self.input_size!r}."
            )

    @property
    def size_multiple(self) -> int:
        """The number that must divide the height and the width of the input."""
        of_levels = HEATMAP_STRIDE * 2 ** (self.num_levels - 1)
        return max(of_levels, INPUT_STRIDE) if self.encoder_depth else of_levels

    @property
    def heatmap_size(self) -> tuple[int | None, int | None]:
        """The size (height, width) of the heatmaps in cells."""
        height, width = (None if size is None else size // HEATMAP_STRIDE for size in self.input_size)
        return height, width

    @property
    def width_of_person(self) -> int:
        """The number of channels of the second U-Net."""
        return self.width if self.person_width is None else self.person_width

    @property
    def num_levels_of_person(self) -> int:
        """The number of levels with which both networks have the same lowest resolution."""
        return self.num_levels - self.person_stride + 1

    @property
    def person_map_size(self) -> tuple[int | None, int | None]:
        """The size (height, width) of the maps that the second U-Net works on."""
        height, width = (None if size is None else size // self.person_stride for size in self.heatmap_size)
        return height, width

    @property
    def encoder(self) -> EncoderDecoder:
        """The settings of the residual network that replaces the stem and the first U-Net with an `encoder_depth`."""
        return EncoderDecoder(
            self.encoder_depth, self.encoder_stride_in, self.encoder_width, self.width, self.encoder_skip_connections
        )

    def widths_of_levels(self, width: int, num_levels: int) -> list[int]:
        """Returns the channels of each level of a U-Net whose first level has `width` channels."""
        return [round(width * self.width_growth**level) for level in range(num_levels)]

    @property
    def widths_of_stem(self) -> tuple[int, ...]:
        """The channels of each stage of the stem."""
        return (self.width,) * NUM_STEM_STAGES if self.stem_widths is None else tuple(self.stem_widths)
