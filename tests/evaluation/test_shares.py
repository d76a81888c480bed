"""An evaluation that several devices do together."""

import numpy as np
import pytest

from tfpose.evaluation.shares import EvaluationShare


@pytest.mark.parametrize("num_devices", [1, 2, 3, 5])
@pytest.mark.parametrize("num_items", [0, 1, 4, 7, 12])
def test_each_batch_is_that_of_one_device(num_devices, num_items):
    batches = []

    def work(device, part):
        rows = np.arange(part.start, part.stop)
        batches.extend((device, *rows[start : start + 2]) for start in range(0, len(rows), 2))
        return rows, rows * 2.0

    rows, doubled = EvaluationShare(["/cpu:0"] * num_devices).run(num_items, 2, work)
    assert rows.tolist() == list(range(num_items))
    np.testing.assert_array_equal(doubled, rows * 2.0)
    expected = [tuple(range(start, min(start + 2, num_items))) for start in range(0, num_items, 2)]
    assert sorted(batch[1:] for batch in batches) == expected
    assert len({batch[0] for batch in batches}) == min(num_devices, len(expected))


def test_an_error_of_a_device_is_raised():
    def work(device, part):
        raise ValueError(f"broken picture on {device}")

    with pytest.raises(ValueError, match="broken picture on 0"):
        EvaluationShare(["/cpu:0"] * 2).run(8, 2, work)


def test_several_workers_need_their_strategy():
    with pytest.raises(ValueError, match="strategy must be given for several workers, got None"):
        EvaluationShare(num_workers=2).run(8, 2, lambda device, part: (np.arange(part.start, part.stop),))
