"""The layers of vision transformers: positions of patches, and the blocks of attention and feed-forward networks.

Dosovitskiy et al., "An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale", 2020, section 3.1.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import cv2
import keras
import numpy as np
from keras import layers, ops

from tfpose.models.compiled import compile_with_gradient

_MLP_RATIO = 4
# Initial weights of vision transformers: He et al., "Masked Autoencoders Are Scalable Vision Learners", 2021, appendix.
_POSITION_STDDEV = 0.02


@dataclasses.dataclass(frozen=True)
class Experts:
    """The experts of a block's feed-forward network (Xu et al., "ViTPose++", 2023, section 3.4).

    Attributes:
        num_experts: Number of experts, one for each dataset; 0 for none.
        expert_width: Channels of a token that come from the expert, the last ones.
        expert: Index of the expert that computes.
    """

    num_experts: int = 0
    expert_width: int = 0
    expert: int = 0


@keras.saving.register_keras_serializable(package="tfpose")
class PositionEmbedding(layers.Layer):
    """Adds a learned vector to each cell of a map: its position.

    Args:
        **kwargs: Arguments of `keras.layers.Layer`.
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Creates the vectors, [1, H, W, C]."""
        initializer = keras.initializers.TruncatedNormal(stddev=_POSITION_STDDEV)
        self.positions = self.add_weight(name="positions", shape=(1, *input_shape[1:]), initializer=initializer)
        self.positions.is_positions = True

    def call(self, inputs: Any) -> Any:
        """Returns [B, H, W, C] from [B, H, W, C]."""
        return inputs + self.positions

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return super().get_config()


def is_positions(variable: keras.Variable) -> bool:
    """Returns whether `variable` holds the vectors of a `PositionEmbedding`."""
    return getattr(variable, "is_positions", False)


def resize_positions(positions: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Resamples the vectors of a `PositionEmbedding` for another number of cells.

    Cubic interpolation with -0.75 between the centers of cells, borders repeated, not smoothed: as the public code of
    ViTPose does, and PyTorch's `interpolate` without aligned corners.

    Args:
        positions: [1, H, W, C].
        grid: The new (H, W).

    Returns:
        [1, *grid, C] float32.
    """
    height, width = grid
    if positions.shape[1:3] == (height, width):
        return np.asarray(positions, np.float32)
    planes = [
        cv2.resize(np.ascontiguousarray(plane), (width, height), interpolation=cv2.INTER_CUBIC)
        for plane in np.moveaxis(np.asarray(positions[0], np.float32), -1, 0)
    ]
    return np.stack(planes, axis=-1)[None]


def _gelu(inputs: Any) -> Any:
    """Returns x * Phi(x), with the normal distribution Phi (Hendrycks and Gimpel, "GELUs", 2016, section 2)."""
    # `ops.gelu` takes `erfc`, which ONNX does not know and XLA evaluates more slowly. TensorFlow merges this form with
    # the product before it.
    return 0.5 * inputs * (1 + ops.erf(inputs * math.sqrt(0.5)))


_train_gelu = compile_with_gradient(_gelu)


@functools.cache
def _layer_norm_for_training(epsilon: float) -> Any:
    return compile_with_gradient(
        lambda tokens, gamma, beta: ops.layer_normalization(tokens, gamma, beta, axis=-1, epsilon=epsilon)
    )


def _round_up(batch: Any, share: float) -> Any:
    """Returns the smallest integer of at least `share * batch`, as a Python number if `batch` is one."""
    if isinstance(batch, int):
        return math.ceil(share * batch)
    return ops.cast(ops.ceil(share * ops.cast(batch, "float32")), "int32")


def _apply_to_matrix(function: Callable[[Any], Any], tokens: Any) -> Any:
    """Applies a function to one matrix [B * T, C] of all tokens [B, T, C]: products of such matrices are fastest."""
    num_tokens, width = tokens.shape[1:]
    return ops.reshape(function(ops.reshape(tokens, (-1, width))), (-1, num_tokens, width))


def _add_to_examples(function: Callable[[Any], Any], tokens: Any, examples: Any, factors: Any) -> Any:
    """Adds to the tokens [B, T, C] of the `examples` [K] what the function makes of them, times the `factors`."""
    if tokens.shape[0] is not None and examples.shape[0] == tokens.shape[0]:
        # The factors of all examples, in an order that is as random as the one drawn.
        return tokens + _apply_to_matrix(function, tokens) * ops.take(factors, examples, axis=0)
    kept = ops.take(tokens, examples, axis=0)
    kept = kept + _apply_to_matrix(function, kept) * factors
    return ops.scatter_update(tokens, examples[:, None], kept)


@keras.saving.register_keras_serializable(package="tfpose")
class TransformerBlock(layers.Layer):
    """Attention, then a feed-forward network, each after a layer normalization and added to its input.

    Its layers are `norm1`, `qkv` (queries, keys and values, in this order), `projection`, `norm2`, `expand` and
    `contract`, and with experts `expert0` and so on.

    Args:
        num_heads: Heads of the attention; they share the channels evenly.
        norm_epsilon: Epsilon of the layer normalizations.
        drop_path_rate: Probability with which training skips the attention, or the feed-forward network, for an
            example. What is not skipped is scaled up to the same mean (Huang et al., "Deep Networks with Stochastic
            Depth", 2016). What is skipped is not computed, and about the same number of examples is skipped in each
            step (Oquab et al., "DINOv2", 2023, section 5).
        recompute: Whether training computes the activations again in the backward pass instead of keeping them.
        experts: Experts of the feed-forward network, or their fields in a dict.
        is_merged: Whether the tokens have mean 0 and `qkv` and `expand` include what follows the division by the
            deviation, see `merge_layer_norms`. Then `norm1` and `norm2` are None.
        **kwargs: Arguments of `keras.layers.Layer`.
    """

    def __init__(
        self,
        num_heads: int,
        norm_epsilon: float = 1e-6,
        drop_path_rate: float = 0.0,
        recompute: bool = False,
        experts: Experts | dict[str, int] = Experts(),
        is_merged: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.is_merged = is_merged
        self.num_heads = num_heads
        self.norm_epsilon = norm_epsilon
        self.drop_path_rate = drop_path_rate
        self.recompute = recompute
        self.experts = Experts(**experts) if isinstance(experts, dict) else experts
        # A state of its own, which checkpoints keep, only where there is something to draw.
        self._seeds = keras.random.SeedGenerator(name=f"{self.name}_seeds") if drop_path_rate else None

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Creates the layers for tokens of C channels, [B, T, C]."""
        width = int(input_shape[-1] or 0)
        hidden, shared = _MLP_RATIO * width, width - self.experts.expert_width
        self.norm1, self.norm2 = (
            None if self.is_merged else self._add_norm(name, width) for name in ("norm1", "norm2")
        )
        self.qkv = self._add_dense("qkv", width, 3 * width)
        self.projection = self._add_dense("projection", width, width)
        self.expand = self._add_dense("expand", width, hidden)
        self.contract = self._add_dense("contract", hidden, shared)
        self.expert_layers = [
            self._add_dense(f"expert{index}", hidden, self.experts.expert_width)
            for index in range(self.experts.num_experts)
        ]

    def _add_norm(self, name: str, width: int) -> layers.Layer:
        norm = layers.LayerNormalization(epsilon=self.norm_epsilon, dtype=self.dtype_policy, name=name)
        norm.build((None, width))
        return norm

    def _add_dense(self, name: str, channels: int, units: int) -> layers.Layer:
        dense = layers.Dense(units, dtype=self.dtype_policy, name=name)
        dense.build((None, channels))
        return dense

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Returns [B, T, C] from [B, T, C]."""
        drawn = self._draw_examples(ops.shape(inputs)[0]) if training and self._seeds else ()

        # What is drawn is no argument: TensorFlow warns of integers that it would differentiate by.
        def apply(tokens: Any) -> Any:
            return self._apply(bool(training), tokens, *drawn)

        return (keras.remat(apply) if training and self.recompute else apply)(inputs)

    def _draw_examples(self, batch: Any) -> list[Any]:
        """Returns the examples [K] that compute the attention and their factors [K, 1, 1], then the same of the rest.

        K is the smallest number that leaves out no more than `drop_path_rate` of the examples; the last one counts so
        often that each example is left out with exactly this probability.
        """
        share = 1 - self.drop_path_rate
        count = _round_up(batch, share)
        drawn = []
        for _ in range(2):
            order = ops.argsort(keras.random.uniform((batch,), seed=self._seeds, dtype="float32"))
            ranks = ops.arange(count, dtype="float32") + keras.random.uniform((), seed=self._seeds, dtype="float32")
            is_kept = ranks < share * ops.cast(batch, "float32")
            factors = ops.cast(is_kept, self.compute_dtype) / share
            drawn += [order[:count], ops.reshape(factors, (-1, 1, 1))]
        return drawn

    def _apply(self, training: bool, inputs: Any, *drawn: Any) -> Any:
        attend = functools.partial(self._attend, training, inputs.shape[1])
        feed_forward = functools.partial(self._feed_forward, training)
        if not drawn:
            tokens = inputs + _apply_to_matrix(attend, inputs)
            return tokens + _apply_to_matrix(feed_forward, tokens)
        tokens = _add_to_examples(attend, inputs, *drawn[:2])
        return _add_to_examples(feed_forward, tokens, *drawn[2:])

    def _attend(self, training: bool, num_tokens: int, tokens: Any) -> Any:
        qkv = self.qkv(self._normalize(self.norm1, tokens, training))
        return self.projection(self._mix_tokens(qkv, num_tokens))

    def _feed_forward(self, training: bool, tokens: Any) -> Any:
        hidden = self.expand(self._normalize(self.norm2, tokens, training))
        hidden = _train_gelu(hidden) if training else _gelu(hidden)
        outputs = self.contract(hidden)
        if self.expert_layers:
            outputs = ops.concatenate([outputs, self.expert_layers[self.experts.expert](hidden)], axis=-1)
        return outputs

    def _normalize(self, norm: layers.Layer | None, tokens: Any, training: bool) -> Any:
        if norm is None:
            values = ops.cast(tokens, keras.backend.result_type(self.compute_dtype, "float32"))
            variances = ops.mean(ops.square(values), axis=-1, keepdims=True)
            return ops.cast(values * ops.rsqrt(variances + self.norm_epsilon), self.compute_dtype)
        # Exported graphs keep plain operations, which other runtimes know.
        if not training:
            return norm(tokens)
        return _layer_norm_for_training(self.norm_epsilon)(tokens, norm.gamma, norm.beta)

    def _mix_tokens(self, qkv: Any, num_tokens: int) -> Any:
        """Returns [B * T, C] from the queries, keys and values [B * T, 3 * C]."""
        width = qkv.shape[-1] // 3
        channels = width // self.num_heads
        parts = ops.reshape(qkv, (-1, num_tokens, 3, self.num_heads, channels))
        if keras.backend.backend() != "tensorflow":
            query, key, value = (parts[:, :, part] for part in range(3))
            scale = 1.0 if self.is_merged else None
            return ops.reshape(ops.dot_product_attention(query, key, value, scale=scale), (-1, width))
        # Keras' function has no fused form in TensorFlow, and this one needs fewer transpositions.
        query, key, value = ops.unstack(ops.transpose(parts, (2, 0, 3, 1, 4)))
        query = query if self.is_merged else query * channels**-0.5
        products = ops.matmul(query, ops.transpose(key, (0, 1, 3, 2)))
        is_half = self.compute_dtype in ("float16", "bfloat16")
        weights = ops.softmax(ops.cast(products, "float32") if is_half else products)
        weights = ops.cast(weights, self.compute_dtype)
        return ops.reshape(ops.transpose(ops.matmul(weights, value), (0, 2, 1, 3)), (-1, width))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Returns [B, T, C]."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "norm_epsilon": self.norm_epsilon,
            "drop_path_rate": self.drop_path_rate,
            "recompute": self.recompute,
            "experts": dataclasses.asdict(self.experts),
            "is_merged": self.is_merged,
        }
