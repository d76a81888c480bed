"""The three heads: region proposals, boxes and keypoints.

Ren et al., "Faster R-CNN", 2015; Lin et al., 2017, section 4; He et al., "Mask R-CNN", 2017, sections 3 and 5. Their
outputs are float32 under mixed precision.
"""

from __future__ import annotations

import keras
from keras import layers

from tfpose.models.keypoint_rcnn.settings import KeypointRcnnSettings
from tfpose.models.output_layers import OutputTransposedConvolution, output_dtype
from tfpose.models.pointwise import PointwiseConvolution
from tfpose.models.subpixel import DECONVOLUTION_SIZE, DECONVOLUTION_STRIDE

BOX_POOLED_SIZE = 7
KEYPOINT_POOLED_SIZE = 14
UPSAMPLING = 2
KEYPOINT_MAP_SIZE = UPSAMPLING * DECONVOLUTION_STRIDE * KEYPOINT_POOLED_SIZE
# The columns of the class logits: person, background.
NUM_CLASSES = 2


def build_proposal_head(settings: KeypointRcnnSettings, name: str = "rpn") -> keras.Model:
    """Builds the head that slides over every level of the pyramid.

    Returns:
        A model from features [B, H, W, C] to a list of logits [B, H, W, R] that an anchor holds a person, and offsets
        [B, H, W, 4 R], R anchors in each cell.
    """
    num_anchors = len(settings.anchor_ratios)
    features = keras.Input((None, None, settings.pyramid_width), name="features")
    normal = keras.initializers.RandomNormal(stddev=0.01)
    x = layers.Conv2D(
        settings.pyramid_width, 3, padding="same", activation="relu", kernel_initializer=normal, name="conv"
    )(features)
    outputs = [
        PointwiseConvolution(filters, kernel_initializer=normal, dtype=_output_dtype(), name=layer)(x)
        for layer, filters in (("objectness_logits", num_anchors), ("anchor_deltas", 4 * num_anchors))
    ]
    return keras.Model(features, outputs, name=name)


def build_box_head(settings: KeypointRcnnSettings, name: str = "box_head") -> keras.Model:
    """Builds the head that scores and moves proposals.

    Returns:
        A model from pooled features [N, 7, 7, C] to a list of class logits [N, 2] (person, background) and offsets
        [N, 4].
    """
    pooled = keras.Input((BOX_POOLED_SIZE, BOX_POOLED_SIZE, settings.pyramid_width), name="pooled")
    x = layers.Flatten(name="flatten")(pooled)
    for index in (1, 2):
        # Glorot's uniform distribution by the inputs alone (Caffe's "Xavier").
        initializer = keras.initializers.VarianceScaling(1.0, "fan_in", "uniform")
        x = layers.Dense(settings.box_head_width, activation="relu", kernel_initializer=initializer, name=f"fc{index}")(
            x
        )
    outputs = [
        layers.Dense(
            units, kernel_initializer=keras.initializers.RandomNormal(stddev=stddev), dtype=_output_dtype(), name=layer
        )(x)
        for layer, units, stddev in (("cls_score", NUM_CLASSES, 0.01), ("bbox_pred", 4, 0.001))
    ]
    return keras.Model(pooled, outputs, name=name)


def build_keypoint_head(settings: KeypointRcnnSettings, name: str = "keypoint_head") -> keras.Model:
    """Builds the head that finds the joints of the person in a box.

    Returns:
        A model from pooled features [N, 14, 14, C] to logits [N, 56, 56, J].
    """
    x = pooled = keras.Input((KEYPOINT_POOLED_SIZE, KEYPOINT_POOLED_SIZE, settings.pyramid_width), name="pooled")
    for index, filters in enumerate(settings.keypoint_head_widths, start=1):
        x = layers.Conv2D(
            filters,
            3,
            padding="same",
            activation="relu",
            kernel_initializer=keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal"),
            name=f"conv_fcn{index}",
        )(x)
    x = OutputTransposedConvolution(
        settings.num_joints,
        DECONVOLUTION_SIZE,
        strides=DECONVOLUTION_STRIDE,
        padding="same",
        kernel_initializer=keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal"),
        dtype=_output_dtype(),
        name="score_lowres",
    )(x)
    if not settings.box_conventions.has_clamped_maps:
        x = layers.ZeroPadding2D(1, dtype=_output_dtype(), name="score_pad")(x)
    maps = layers.UpSampling2D(UPSAMPLING, interpolation="bilinear", dtype=_output_dtype(), name="score")(x)
    if not settings.box_conventions.has_clamped_maps:
        maps = layers.Cropping2D(2, dtype=_output_dtype(), name="score_crop")(maps)
    return keras.Model(pooled, maps, name=name)


def _output_dtype() -> str:
    return output_dtype(keras.dtype_policies.get(keras.config.dtype_policy()))
