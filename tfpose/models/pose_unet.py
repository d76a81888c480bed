"""The single heatmap network: one U-Net finds the joints of all people, a second U-Net keeps those of one person.

Payer, Neff, Bischof, Urschler and Stern, "Simultaneous Multi-Person Detection and Single-Person Pose Estimation With a
Single Heatmap Regression Network", 2017, section 2. U-Net: Ronneberger, Fischer and Brox, 2015, here with padded
convolutions, nearest-neighbor upsampling and addition in place of concatenation (section 2.1).

The frame network runs once for each image, the person network once for each person, all people as one batch. The first
convolution of the person network sees features of the image, the joint maps and the person's masked head map. As it
is linear, its part for the first two is computed once for each image, in the frame network; each person only adds the
part of one channel.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import KerasTensor, layers, ops

from tfpose.models.pose_unet_layers import PoseUnetLayers
from tfpose.models.pose_unet_settings import PoseUnetSettings

Tensor = Any  # of the Keras backend in use

JOINT_LAYER = "joint_maps"


class PoseUnet(keras.Model):
    """Both networks as one model, for training and its files.

    Called with normalized images [B, H, W, 3] and the heads of P people each [B, P, 2], (x, y) in heatmap cells, it
    returns, all in float32 and in (-1, 1):

    - `head_maps` [B, h, w, 1]: the heads of all people;
    - `joint_maps` [B, h, w, J]: the joints of all people;
    - `filter_maps` [B, P, h, w, J]: where each joint of this person may be;
    - `person_maps` [B, P, h, w, J]: their product with the joint maps, the joints of this person.

    A person whose head is not finite gets an empty head map and takes as much time as any other person.

    Args:
        frame: Frame network, from `build_frame_network`.
        person: Person network, from `build_person_network`.
        head_mask_sigma_cells: Standard deviation of the Gaussian around a head, in cells.
        name: Name of the model.
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
        """Computes the outputs that the class describes."""
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
        """Computes the maps and features of images, see `build_frame_network`."""
        return self.frame(images, training=training)

    def filter_joints(
        self, person_features: Tensor, masked_heads: Tensor, joint_maps: Tensor, training: bool | None = False
    ) -> Tensor:
        """Computes the joints [P, h, w, J] of one person each, see `build_person_network`."""
        return self.person([person_features, masked_heads, joint_maps], training=training)["person_maps"]


def build_pose_unet(num_joints: int, settings: PoseUnetSettings | None = None) -> PoseUnet:
    """Builds both networks with fresh weights, every layer named.

    Raises:
        ValueError: The number of joints is 0.
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
        A model from normalized images [B, H, W, 3] to a dict of `head_maps` [B, h, w, 1] and `joint_maps` [B, h, w, J]
        in float32, h = H / 4, and `person_features` [B, h, w, C]: the part of the person network's first convolution
        that all people share, with its bias and before its ReLU. With `person_stride` 2, this part has half the size.
        If `share_first_convolution` is False, `person_features` are the image features and the joint maps themselves.

    Raises:
        ValueError: The number of joints is 0.
    """
    settings = settings or PoseUnetSettings()
    _check_joints(num_joints)
    build = PoseUnetLayers(settings)
    images = keras.Input((*settings.input_size, 3), dtype=build.output_dtype, name="images")
    if settings.encoder_depth:
        seen = x = build.encoder_decoder(images)
    else:
        stem = build.strided_stem(images) if settings.stem_downsampling == "stride" else _apply_stem(images, build)
        x = build.convolution(stem, settings.width, "frame_level0_down1")
        x = _apply_unet(x, settings.width, "frame", build, settings.num_levels)
        seen = {"stem": stem, "frame": x}[settings.person_features]
    head_maps = build.heatmaps(x, 1, "head_maps")
    joint_maps = build.heatmaps(x, num_joints, JOINT_LAYER)
    shared = layers.Concatenate(dtype=build.policy, name="person_inputs")([seen, joint_maps])
    if settings.share_first_convolution:
        channels = shared.shape[-1]
        # Drawn as a part of the kernel over all concatenated channels.
        part = channels / (channels + 1)
        shared = build.convolution(
            shared,
            settings.width_of_person,
            "person_level0_down1_shared",
            stride=settings.person_stride,
            variance_part=part,
        )
    outputs = {"head_maps": head_maps, "joint_maps": joint_maps, "person_features": shared}
    return build.finish(images, outputs, "frame")


def build_person_network(num_joints: int, settings: PoseUnetSettings | None = None) -> keras.Model:
    """Builds the part that runs once for each person: the second U-Net and the product.

    Returns:
        A model from a list of the frame network's `person_features` [P, h, w, C], masked head maps [P, h, w, 1] and
        `joint_maps` [P, h, w, J] to a dict of `filter_maps` and `person_maps`, both [P, h, w, J] in float32.

    Raises:
        ValueError: The number of joints is 0.
    """
    settings = settings or PoseUnetSettings()
    _check_joints(num_joints)
    build = PoseUnetLayers(settings)
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
    filter_maps = build.enlarge_filter_maps(filter_maps)
    person_maps = layers.Multiply(dtype=build.output_dtype, name="person_maps")([filter_maps, joint_maps])
    outputs = {"filter_maps": filter_maps, "person_maps": person_maps}
    return build.finish([features, masked_heads, joint_maps], outputs, "person")


def mask_heads(head_maps: Tensor, centers: Tensor, sigma_cells: float = 4.0) -> Tensor:
    """Multiplies head maps by a Gaussian of peak 1 around the head of the person of interest.

    Payer et al., 2017, section 4: in training around the true head, in inference around the detected one. The gradient
    flows through to the head maps.

    Args:
        head_maps: [P, h, w, 1], as predicted.
        centers: [P, 2], (x, y) in heatmap cells; a map whose center is not finite becomes 0.
        sigma_cells: Standard deviation of the Gaussian in cells.

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
    """Normalizes images: (x - 128) / 128, in training then shifted and scaled; nothing is clamped.

    Payer et al., 2017, section 4.

    Args:
        images: [B, H, W, 3] in 0..255.
        shifts: [B], added to the normalized intensities.
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


def _apply_stem(x: KerasTensor, build: PoseUnetLayers) -> KerasTensor:
    """Applies two stages of two convolutions and a pooling."""
    for stage, filters in enumerate(build.settings.widths_of_stem, start=1):
        for index in (1, 2):
            x = build.convolution(x, filters, f"stem_stage{stage}_{index}")
            x = build.activation(x, f"stem_stage{stage}_{index}")
        x = build.pooling(x, f"stem_stage{stage}")
    return x


def _apply_unet(x: KerasTensor, width: int, name: str, build: PoseUnetLayers, num_levels: int) -> KerasTensor:
    """Applies a U-Net to the output of its first convolution before the activation; the size stays the same.

    Every level has its convolutions on the way down and again on the way up, the lowest too (24 in the paper's).
    """
    lowest = num_levels - 1
    widths = build.settings.widths_of_levels(width, num_levels)
    x = build.activation(x, f"{name}_level0_down1")
    x = build.block(x, width, f"{name}_level0_down", first=2)
    skipped = [x]
    for level in range(1, lowest + 1):
        x = build.pooling(x, f"{name}_level{level}")
        x = build.block(x, widths[level], f"{name}_level{level}_down")
        skipped.append(x)
    x = build.block(x, widths[lowest], f"{name}_level{lowest}_up")
    for level in reversed(range(lowest)):
        x = build.adapt_width(x, widths[level], f"{name}_level{level}_adapt")
        x = layers.UpSampling2D(2, interpolation="nearest", dtype=build.policy, name=f"{name}_level{level}_upsample")(x)
        x = layers.Add(dtype=build.policy, name=f"{name}_level{level}_add")([x, skipped[level]])
        x = build.block(x, widths[level], f"{name}_level{level}_up")
    return x


def _check_joints(num_joints: int) -> None:
    if num_joints < 1:
        raise ValueError(f"num_joints must be at least 1, got {num_joints!r}.")
