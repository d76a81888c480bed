"""What the network sees of a batch."""

from __future__ import annotations

import numpy as np
import pytest

from tfpose.crops import Normalization
from tfpose.training.batches import network_inputs, shown_colors


@pytest.mark.parametrize("channel_order", ["rgb", "bgr"])
def test_shown_colors_are_those_that_the_network_sees(channel_order):
    rng = np.random.default_rng(0)
    image = rng.integers(90, 160, (4, 6, 3)).astype(np.uint8)
    gains = np.array([0.8, 1.0, 1.3], np.float32)
    normalization = Normalization(channel_order=channel_order)
    seen = network_inputs(image[None], {"color_gains": gains[None]}, normalization)[0]
    shown = normalization(shown_colors(image, gains, normalization)[None])[0]
    # Half a step of 8 bits is 0.009 for the smallest standard deviation.
    np.testing.assert_allclose(shown, seen, atol=0.01)
