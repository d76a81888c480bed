"""The single heatmap network: one U-Net finds all joints of all people, a second one keeps those of one person.

Payer, Neff, Bischof, Urschler and Stern, "Simultaneous Multi-Person Detection and Single-Person Pose Estimation With a
Single Heatmap Regression Network", 2017, section 2. U-Net: Ronneberger, Fischer and Brox, 2015, here with padded
convolutions, nearest-neighbour upsampling and addition in place of concatenation (section 2.1).

The frame network runs once for each image, the person network once for each person, all people as one batch. The first
convolution of the person network sees features of the image, the joint maps and the person's masked head map. As it
is linear, its part for the first two is computed once for each image, in the frame network; each person only adds the
part of one channel.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, get_args

import keras
from keras import KerasTensor, layers, ops

from tfpose.frame_fit import HEATMAP_STRIDE, NUM_STEM_STAGES
from tfpose.models.batch_norm import FusedBatchNormalization
from tfpose.models.output_layers import OutputConvolution
from tfpose.models.pose_resnet import BLOCKS_PER_STAGE, INPUT_STRIDE, StrideIn, apply_encoder_decoder

Tensor = Any  # of the Keras backend in use

JOINT_LAYER = "joint_maps"

Normalization = Literal["none", "batch"]
Downsampling = Literal["pool", "stride"]
PersonFeatures = Literal["stem", "frame"]


@dataclasses.dataclass(frozen=True)
class PoseUnetSettings:
    """Size and start of the two networks; the defaults are the paper's.

    Attributes:
        input_size: (height, width) in pixels, each a multiple of `size_multiple`, or None where it may vary.
        width: channels of every convolution of the stem and of the first U-Net.
        person_width: channels of the second U-Net; None takes `width`.
        person_features: what of the image the second U-Net sees beside the joint maps: the "stem", or what the first
            U-Net made of it, from which the joint maps come ("frame").
        person_stride: of the first convolution of the second U-Net, 1 or 2: with 2 it works at half the resolution,
            at a quarter of the cost, and its filter maps are interpolated: they only choose among the joints that the
            joint maps locate. It then has a level less.
        width_growth: how many times as many channels each level has as the one above it; where the number changes on
            the way up, a 1x1 convolution adapts it. The paper's levels are all alike; a small network has too few
            weights then to tell a left arm from a right one.
        stem_widths: channels of the stem's two stages; None takes `width` for both.
        stem_downsampling: "pool" halves the size after the two convolutions of a stage, "stride" in the first of
            them, which costs a quarter.
        encoder_depth: 0 is the paper's stem and first U-Net. A depth of `build_pose_resnet` puts that network, without
            its heatmaps, in their place, so that it can start from its weights or from ImageNet's; `width` is then that
            of its transposed convolutions, `person_features` must be "frame", and `l2` leaves its kernels alone.
        encoder_width: its `base_width`.
        encoder_stride_in: its `stride_in`.
        encoder_skip_connections: its `skip_connections`.
        num_levels: resolutions of each U-Net; one less than this is the number of its poolings.
        convolutions_per_block: on the way down and again on the way up, at every level.
        normalization: "batch" normalises before every ReLU; "none" is the paper's.
        synchronize_batch_norm: normalise by the statistics of all replicas; TensorFlow only, and slower.
        head_mask_sigma_cells: Gaussian around a head that lets the head map of this person through.
        heatmap_init_stddev: standard deviation of the first weights of the layers that give heatmaps; None draws them
            as all others (He et al., 2015: truncated normal, 2 / fan-in).
        filter_init_bias: first bias of the filter maps. The paper's 0 starts near a saddle, where both factors of
            the product are small and neither learns; with 1 the filter lets everything through at first.
        l2: factor on the sum of squares of each kernel, part of the loss.
        share_first_convolution: False builds the plain form, in which the person network gets everything concatenated.
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
        """What the height and the width of the input must divide by."""
        of_levels = HEATMAP_STRIDE * 2 ** (self.num_levels - 1)
        return max(of_levels, INPUT_STRIDE) if self.encoder_depth else of_levels

    @property
    def heatmap_size(self) -> tuple[int | None, int | None]:
        """(height, width) in cells."""
        height, width = (None if size is None else size // HEATMAP_STRIDE for size in self.input_size)
        return height, width

    @property
    def width_of_person(self) -> int:
        return self.width if self.person_width is None else self.person_width

    @property
    def num_levels_of_person(self) -> int:
        """So many that both networks have the same lowest resolution."""
        return self.num_levels - self.person_stride + 1

    @property
    def person_map_size(self) -> tuple[int | None, int | None]:
        """(height, width) of the maps that the second U-Net works on."""
        height, width = (None if size is None else size // self.person_stride for size in self.heatmap_size)
        return height, width

    @property
    def widths_of_stem(self) -> tuple[int, ...]:
        return (self.width,) * NUM_STEM_STAGES if self.stem_widths is None else tuple(self.stem_widths)


class PoseUnet(keras.Model):
    """Both networks as one model, for training and its files.

    Called with normalised images [B, H, W, 3] and the heads of P people each [B, P, 2], (x, y) in heatmap cells, it
    returns, all in float32 and in (-1, 1):

    - `head_maps` [B, h, w, 1]: the heads of all people;
    - `joint_maps` [B, h, w, J]: the joints of all people;
    - `filter_maps` [B, P, h, w, J]: where each joint of this person may be;
    - `person_maps` [B, P, h, w, J]: their product with the joint maps, the joints of this person.

    A person whose head is not finite gets an empty head map and costs as much as any other.

    Args:
        frame: from `build_frame_network`.
        person: from `build_person_network`.
        head_mask_sigma_cells: see `mask_heads`.
        name: of the model.
    """

    def __init__(
        self,
        frame: keras.Model,
        person: keras.Model,
        head_mask_sigma_cells: float = 4.0,
        name: str = "pose_unet",
    ) -> None:
        super().__init__(name=name)
        self.frame = frame
        self.person = person
        self.head_mask_sigma_cells = head_mask_sigma_cells
        # Both parts have their weights already.
        self.built = True

    def call(self, images: Tensor, person_heads: Tensor, training: bool | None = None) -> dict[str, Tensor]:
        """See the class."""
        maps = self.find_joints(images, training)
        num_people = person_heads.shape[1]
        head_maps, joint_maps, features = (
            ops.repeat(maps[name], num_people, axis=0) for name in ("head_maps", "joint_maps", "person_features")
        )
        masked = mask_heads(head_maps, ops.reshape(person_heads, (-1, 2)), self.head_mask_sigma_cells)
        person_maps = self.person([features, masked, joint_maps], training=training)
        split = {
            name: ops.reshape(values, (-1, num_people, *ops.shape(values)[1:])) for name, values in person_maps.items()
        }
        return {"head_maps": maps["head_maps"], "joint_maps": maps["joint_maps"], **split}

    def find_joints(self, images: Tensor, training: bool | None = False) -> dict[str, Tensor]:
        """The maps and features of images, see `build_frame_network`."""
        return self.frame(images, training=training)

    def filter_joints(
        self, person_features: Tensor, masked_heads: Tensor, joint_maps: Tensor, training: bool | None = False
    ) -> Tensor:
        """The joints of one person each, [P, h, w, J], see `build_person_network`."""
        return self.person([person_features, masked_heads, joint_maps], training=training)["person_maps"]


def build_pose_unet(num_joints: int, settings: PoseUnetSettings | None = None) -> PoseUnet:
    """Builds both networks with fresh weights, every layer named.

    Raises:
        ValueError: there is no joint.
    """
    settings = settings or PoseUnetSettings()
    return PoseUnet(
        build_frame_network(num_joints, settings),
        build_person_network(num_joints, settings),
        settings.head_mask_sigma_cells,
    )


def build_frame_network(num_joints: int, settings: PoseUnetSettings | None = None) -> keras.Model:
    """Builds the part that runs once for each image: stem, first U-Net, shared part of the person network.

    Returns:
        A model from normalised images [B, H, W, 3] to a dict of `head_maps` [B, h, w, 1] and `joint_maps` [B, h, w, J]
        in float32, h = H / 4, and `person_features` [B, h, w, C]: what the person network's first convolution makes of
        the stem's features and the joint maps, with its bias and before its ReLU; in the plain form these themselves.
        With `person_stride` 2 they have half the size in the divided form.

    Raises:
        ValueError: there is no joint.
    """
    settings = settings or PoseUnetSettings()
    _check_joints(num_joints)
    build = _LayerBuilder(settings)
    images = keras.Input((*settings.input_size, 3), dtype=build.output_dtype, name="images")
    if settings.encoder_depth:
        seen = x = build.encoder_decoder(images)
    else:
        features = _apply_stem(images, build)
        x = build.convolution(features, settings.width, "frame_level0_down1")
        x = _apply_unet(x, settings.width, "frame", build, settings.num_levels)
        seen = {"stem": features, "frame": x}[settings.person_features]
    head_maps = build.heatmaps(x, 1, "head_maps")
    joint_maps = build.heatmaps(x, num_joints, JOINT_LAYER)
    shared = layers.Concatenate(dtype=build.policy, name="person_inputs")([seen, joint_maps])
    if settings.share_first_convolution:
        channels = shared.shape[-1]
        # Drawn as a part of the kernel over all channels of the concatenation.
        part = channels / (channels + 1)
        shared = build.convolution(
            shared,
            settings.width_of_person,
            "person_level0_down1_shared",
            stride=settings.person_stride,
            variance_part=part,
        )
    outputs = {"head_maps": head_maps, "joint_maps": joint_maps, "person_features": shared}
    model = keras.Model(images, outputs, name="frame")
    for layer in model.layers:
        if isinstance(layer, FusedBatchNormalization):
            layer.synchronized = settings.synchronize_batch_norm
    return model


def build_person_network(num_joints: int, settings: PoseUnetSettings | None = None) -> keras.Model:
    """Builds the part that runs once for each person: the second U-Net and the product.

    Returns:
        A model from a list of the frame network's `person_features` [P, h, w, C], masked head maps [P, h, w, 1] and
        `joint_maps` [P, h, w, J] to a dict of `filter_maps` and `person_maps`, both [P, h, w, J] in float32.

    Raises:
        ValueError: there is no joint.
    """
    settings = settings or PoseUnetSettings()
    _check_joints(num_joints)
    build = _LayerBuilder(settings)
    width, stride, size = settings.width_of_person, settings.person_stride, settings.heatmap_size
    num_seen = {"stem": settings.widths_of_stem[-1], "frame": settings.width}[settings.person_features]
    num_shared = num_seen + num_joints
    is_shared = settings.share_first_convolution
    of_features = (*settings.person_map_size, width) if is_shared else (*size, num_shared)
    features = keras.Input(of_features, dtype=build.policy.compute_dtype, name="person_features")
    masked_heads = keras.Input((*size, 1), dtype=build.output_dtype, name="masked_heads")
    joint_maps = keras.Input((*size, num_joints), dtype=build.output_dtype, name="joint_maps")
    if is_shared:
        part = 1 / (num_shared + 1)
        name = "person_level0_down1_head"
        own = build.convolution(masked_heads, width, name, stride=stride, variance_part=part, use_bias=False)
        x = layers.Add(dtype=build.policy, name="person_level0_down1")([features, own])
    else:
        x = layers.Concatenate(dtype=build.policy, name="person_inputs")([features, masked_heads])
        x = build.convolution(x, width, "person_level0_down1", stride=stride)
    x = _apply_unet(x, width, "person", build, settings.num_levels_of_person)
    filter_maps = build.heatmaps(x, num_joints, "filter_maps", settings.filter_init_bias)
    if stride > 1:
        # Interpolated after the hyperbolic tangent, where there are the fewest channels.
        filter_maps = layers.UpSampling2D(
            stride, interpolation="bilinear", dtype=build.output_dtype, name="filter_maps_upsample"
        )(filter_maps)
    person_maps = layers.Multiply(dtype=build.output_dtype, name="person_maps")([filter_maps, joint_maps])
    outputs = {"filter_maps": filter_maps, "person_maps": person_maps}
    return keras.Model([features, masked_heads, joint_maps], outputs, name="person")


def mask_heads(head_maps: Tensor, centers: Tensor, sigma_cells: float = 4.0) -> Tensor:
    """Multiplies head maps by a Gaussian of peak 1 around the head of the person of interest.

    Payer et al., 2017, section 4: in training around the true head, in inference around the detected one. The gradient
    flows through to the head maps.

    Args:
        head_maps: [P, h, w, 1], as predicted.
        centers: [P, 2], (x, y) in heatmap cells; a map whose centre is not finite becomes 0.
        sigma_cells: standard deviation of the Gaussian.

    Returns:
        [P, h, w, 1] in the dtype of `head_maps`.
    """
    head_maps = ops.convert_to_tensor(head_maps)
    centers = ops.cast(centers, "float32")
    is_known = ops.all(ops.isfinite(centers), axis=-1)
    centers = ops.where(is_known[:, None], centers, ops.zeros_like(centers))
    columns, rows = (
        ops.exp(
            -ops.square(ops.cast(ops.arange(ops.shape(head_maps)[2 - axis]), "float32") - centers[:, axis, None])
            / (2 * sigma_cells**2)
        )
        for axis in (0, 1)
    )
    rows = ops.where(is_known[:, None], rows, ops.zeros_like(rows))
    mask = rows[:, :, None, None] * columns[:, None, :, None]
    return head_maps * ops.cast(mask, head_maps.dtype)


def normalize_images(images: Tensor, shifts: Tensor | None = None, scales: Tensor | None = None) -> Tensor:
    """Images as the network takes them: (x - 128) / 128, in training shifted and then scaled, nothing clamped.

    Payer et al., 2017, section 4.

    Args:
        images: [B, H, W, 3] in 0..255.
        shifts: [B], added to the normalised intensities.
        scales: [B], factors on the sums.

    Returns:
        [B, H, W, 3] float32.
    """
    images = (ops.cast(images, "float32") - 128.0) / 128.0
    if shifts is not None:
        images = images + ops.cast(shifts, "float32")[:, None, None, None]
    if scales is not None:
        images = images * ops.cast(scales, "float32")[:, None, None, None]
    return images


class _LayerBuilder:
    """Adds named layers of one precision, normalisation and start to a network."""

    def __init__(self, settings: PoseUnetSettings) -> None:
        self.settings = settings
        self.policy = keras.dtype_policies.get(keras.config.dtype_policy())
        # Heatmaps are compared with targets and with each other: half precision would round them.
        self.output_dtype = "float64" if self.policy.variable_dtype == "float64" else "float32"

    def convolution(
        self,
        x: KerasTensor,
        filters: int,
        name: str,
        stride: int = 1,
        variance_part: float = 1.0,
        use_bias: bool = True,
    ) -> KerasTensor:
        """A 3x3 convolution without activation."""
        if stride > 1:
            # One zero on both sides, so that output cell i lies at input cell 2i.
            x = layers.ZeroPadding2D(1, dtype=self.policy, name=f"{name}_pad")(x)
        return layers.Conv2D(
            filters,
            3,
            strides=stride,
            padding="valid" if stride > 1 else "same",
            use_bias=use_bias and self.settings.normalization == "none",
            kernel_initializer=_he_initializer(variance_part),
            kernel_regularizer=self._regularizer(),
            dtype=self.policy,
            name=f"{name}_conv",
        )(x)

    def projection(self, x: KerasTensor, filters: int, name: str) -> KerasTensor:
        """A 1x1 convolution without activation."""
        return layers.Conv2D(
            filters,
            1,
            kernel_initializer=_he_initializer(0.5),
            kernel_regularizer=self._regularizer(),
            dtype=self.policy,
            name=f"{name}_conv",
        )(x)

    def encoder_decoder(self, images: KerasTensor) -> KerasTensor:
        """The residual network in place of the stem and the first U-Net, with layer names of its own."""
        settings = self.settings
        return apply_encoder_decoder(
            images,
            settings.encoder_depth,
            settings.encoder_stride_in,
            settings.encoder_width,
            settings.width,
            settings.encoder_skip_connections,
            self.policy,
        )

    def activation(self, x: KerasTensor, name: str) -> KerasTensor:
        """ReLU, normalised before if the settings say so."""
        if self.settings.normalization == "batch":
            norm = FusedBatchNormalization(dtype=self.policy, name=f"{name}_bn")
            norm.synchronized = self.settings.synchronize_batch_norm
            x = norm(x)
        return layers.ReLU(dtype=self.policy, name=f"{name}_relu")(x)

    def block(self, x: KerasTensor, filters: int, name: str, first: int = 1) -> KerasTensor:
        """Convolutions number `first` and following, each with its activation."""
        for index in range(first, self.settings.convolutions_per_block + 1):
            x = self.convolution(x, filters, f"{name}{index}")
            x = self.activation(x, f"{name}{index}")
        return x

    def pooling(self, x: KerasTensor, name: str) -> KerasTensor:
        return layers.MaxPooling2D(2, dtype=self.policy, name=f"{name}_pool")(x)

    def heatmaps(self, x: KerasTensor, num_maps: int, name: str, bias: float = 0.0) -> KerasTensor:
        """A 1x1 convolution and the hyperbolic tangent."""
        stddev = self.settings.heatmap_init_stddev
        return OutputConvolution(
            num_maps,
            activation="tanh",
            kernel_initializer=(
                _he_initializer() if stddev is None else keras.initializers.TruncatedNormal(stddev=stddev)
            ),
            bias_initializer=keras.initializers.Constant(bias),
            kernel_regularizer=self._regularizer(),
            dtype=self.output_dtype,
            name=name,
        )(x)

    def _regularizer(self) -> keras.regularizers.Regularizer | None:
        return keras.regularizers.L2(self.settings.l2) if self.settings.l2 else None


def _he_initializer(variance_part: float = 1.0) -> keras.initializers.Initializer:
    return keras.initializers.VarianceScaling(2.0 * variance_part, "fan_in", "truncated_normal")


def _apply_stem(x: KerasTensor, build: _LayerBuilder) -> KerasTensor:
    """Two stages of two convolutions that quarter the size."""
    is_strided = build.settings.stem_downsampling == "stride"
    for stage, filters in enumerate(build.settings.widths_of_stem, start=1):
        for index in (1, 2):
            name = f"stem_stage{stage}_{index}"
            x = build.convolution(x, filters, name, stride=2 if is_strided and index == 1 else 1)
            x = build.activation(x, name)
        if not is_strided:
            x = build.pooling(x, f"stem_stage{stage}")
    return x


def _apply_unet(x: KerasTensor, width: int, name: str, build: _LayerBuilder, num_levels: int) -> KerasTensor:
    """A U-Net from what its first convolution gave, before the activation, to features of the same size.

    Every level has its convolutions on the way down and again on the way up, the lowest too (24 in the paper's).
    """
    lowest = num_levels - 1
    widths = [round(width * build.settings.width_growth**level) for level in range(lowest + 1)]
    x = build.activation(x, f"{name}_level0_down1")
    x = build.block(x, width, f"{name}_level0_down", first=2)
    skipped = [x]
    for level in range(1, lowest + 1):
        x = build.pooling(x, f"{name}_level{level}")
        x = build.block(x, widths[level], f"{name}_level{level}_down")
        skipped.append(x)
    x = build.block(x, widths[lowest], f"{name}_level{lowest}_up")
    for level in reversed(range(lowest)):
        if widths[level] != widths[level + 1]:
            x = build.projection(x, widths[level], f"{name}_level{level}_adapt")
        x = layers.UpSampling2D(2, interpolation="nearest", dtype=build.policy, name=f"{name}_level{level}_upsample")(x)
        x = layers.Add(dtype=build.policy, name=f"{name}_level{level}_add")([x, skipped[level]])
        x = build.block(x, widths[level], f"{name}_level{level}_up")
    return x


def _check_joints(num_joints: int) -> None:
    if num_joints < 1:
        raise ValueError(f"num_joints must be at least 1, got {num_joints!r}.")
