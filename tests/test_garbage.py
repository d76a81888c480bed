"""Python's search for cycles of objects."""

import gc

import pytest

from tfpose.garbage import without_cycle_search


def test_the_search_for_cycles_is_as_before_afterwards():
    assert gc.isenabled()
    with pytest.raises(ValueError, match="inside"), without_cycle_search():
        assert not gc.isenabled()
        with without_cycle_search():
            pass
        assert not gc.isenabled()
        raise ValueError("inside")
    assert gc.isenabled()
