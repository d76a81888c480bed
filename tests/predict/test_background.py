import threading

import pytest

from tfpose.prediction.background import Background


def test_items_come_in_order_through_several_stages():
    with Background(range(50), 3) as first, Background((2 * item for item in first), 1) as second:
        assert list(second) == list(range(0, 100, 2))


def test_an_error_comes_after_the_items_before_it():
    def items():
        yield 1
        yield 2
        raise ValueError("broken at 3")

    seen = []
    with pytest.raises(ValueError, match="broken at 3"), Background(items(), 4) as stage:
        for item in stage:
            seen.append(item)
    assert seen == [1, 2]


def test_no_more_items_are_made_than_may_wait():
    """One is in the hands of the thread, one is asked for."""
    made, may_go_on = [], threading.Semaphore(0)

    def items():
        for item in range(20):
            made.append(item)
            may_go_on.release()
            yield item

    with Background(items(), 2) as stage:
        iterator = iter(stage)
        next(iterator)
        for _ in range(4):
            assert may_go_on.acquire(timeout=10)
        assert not may_go_on.acquire(timeout=0.3)
        assert made == [0, 1, 2, 3]


def test_leaving_early_ends_the_thread_and_closes_what_it_iterates_over():
    is_closed = threading.Event()

    def items():
        try:
            while True:
                yield 0
        finally:
            is_closed.set()

    with Background(items(), 2) as stage:
        next(iter(stage))
        thread = stage._thread
    assert is_closed.is_set()
    assert not thread.is_alive()


def test_asking_again_after_the_end_finds_nothing():
    with Background([1], 1) as stage:
        assert list(stage) == [1]
        assert list(stage) == []
