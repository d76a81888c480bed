import numpy as np
import pytest
import tensorflow as tf

from tfpose.messages import count_of, describe_error, printable, quote


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("knee", "'knee'"),
        ([1, 2.5, None], "[1, 2.5, None]"),
        (10**5000, "a whole number of 16610 bits"),
        ("\x1b[31m\n\udcff", r"'\x1b[31m\n\udcff'"),
        ([[[[[[]]]]]], "[[[[[...]]]]]"),
        ((512,) * 8, "(512, 512, 512, 512, 512, 512, 512, 512)"),
    ],
    ids=["text", "list", "large number", "control characters", "nested lists", "tuple"],
)
def test_value_of_a_file_is_quoted(value, expected):
    assert quote(value) == expected


@pytest.mark.parametrize(
    "value", ["x" * 10**6, ["a" * 99] * 1000, {"b" * 99: {"c" * 99: 1e300}}, range(10**6)], ids=range(4)
)
def test_large_value_of_a_file_is_quoted_in_80_characters(value):
    assert 10 < len(quote(value)) <= 80


def test_line_of_characters_that_cannot_be_printed():
    assert printable("a\tb\r\n c\x00\u202e") == r"a b c\x00\u202e"
    assert len(printable("word " * 10**5)) <= 480
    assert printable("begin " + "x" * 10**5 + " end").endswith("x end")


def test_error_without_text_is_its_name():
    assert describe_error(ValueError()) == "ValueError"
    assert describe_error(MemoryError()) == "MemoryError"
    assert describe_error(IndexError("list index out of range")) == "IndexError: list index out of range"
    assert describe_error(ValueError("two\nlines")) == "two lines"


def fail_in_dataset():
    def fail(_):
        raise OSError("the disk is gone")

    for _ in tf.data.Dataset.range(1).map(lambda i: tf.py_function(fail, [i], tf.int64)):
        pass


def fail_in_graph():
    @tf.function
    def check(x):
        tf.debugging.assert_equal(x, 2, "x must be 2")
        return x

    check(tf.constant(1))


def fail_in_keras():
    message = (
        "Graph execution error:\n\nDetected at node model/conv defined at (most recent call last):\n"
        "<stack traces unavailable>\nOut of memory while trying to allocate 9 bytes.\n\t [[{{node model/conv}}]]"
        "\nHint: see OOM docs\n [Op:__inference_call_12]"
    )
    raise tf.errors.ResourceExhaustedError(None, None, message)


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        (fail_in_dataset, "the disk is gone"),
        (fail_in_graph, "x must be 2"),
        (fail_in_keras, "Out of memory while trying to allocate 9 bytes."),
        (lambda: tf.io.decode_jpeg(b"\xff\xd8\xff"), "Invalid JPEG data or crop window"),
        (lambda: tf.matmul(np.ones((2, 3)), np.ones((2, 3))), "Matrix size-incompatible"),
    ],
)
def test_error_of_tensorflow_is_the_line_that_tells_why(action, expected):
    with pytest.raises(tf.errors.OpError) as caught:
        action()
    line = describe_error(caught.value)
    assert expected in line
    assert not any(word in line for word in ("node", "[Op:", "Graph execution", "Traceback", "Detected", "\n"))


def test_nouns_agree_with_their_number():
    assert [count_of(count, "frame") for count in (0, 1, 2)] == ["0 frames", "1 frame", "2 frames"]
    assert [count_of(count, "person", "people") for count in (1, 2)] == ["1 person", "2 people"]
