import gc
import weakref

import numpy as np
import pytest
import tensorflow as tf

from tfpose.data.step_batches import dataset_of_arrays, iterate_dataset


def load_until_damage(index: int) -> dict[str, np.ndarray]:
    if index == 3:
        raise KeyError(f'a "damaged"\nrecord {chr(27)} in \\folder')
    return {"value": np.full(2, index, np.float32)}


def test_error_of_a_loader_is_one_line_behind_the_batches_before_it(capfd):
    numbers = dataset_of_arrays(load_until_damage, {"value": ((2,), tf.float32)}, tf.data.Dataset.range(9))
    seen = []
    with pytest.raises(ValueError) as caught:
        seen.extend(batch["value"].numpy().tolist() for batch in iterate_dataset(numbers))
    assert seen == [[0, 0], [1, 1], [2, 2]]
    assert str(caught.value) == "KeyError: 'a \"damaged\"\\nrecord \\x1b in \\\\folder'"
    assert "Traceback" not in capfd.readouterr().err


class FailingIterator:
    """Fails at the second element."""

    def __init__(self) -> None:
        self.is_first = True

    def __next__(self) -> int:
        if not self.is_first:
            raise tf.errors.UnknownError(None, None, "ValueError: it broke\nTraceback (most recent call last):\n  File")
        self.is_first = False
        return 1


class Failing:
    """Stands for a dataset; knows whether its iterator is still alive."""

    def __iter__(self) -> FailingIterator:
        iterator = FailingIterator()
        self.iterator = weakref.ref(iterator)
        return iterator


def test_iterator_is_gone_after_an_error_though_the_traceback_is_kept():
    dataset = Failing()
    with pytest.raises(ValueError, match="^ValueError: it broke$") as caught:
        list(iterate_dataset(dataset))
    gc.collect()
    assert caught.value.__traceback__ is not None
    assert dataset.iterator() is None


def test_iterator_is_gone_when_the_caller_stops():
    dataset = Failing()
    elements = iterate_dataset(dataset)
    assert next(elements) == 1
    elements.close()
    gc.collect()
    assert dataset.iterator() is None
