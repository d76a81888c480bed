"""The choice between float32 and bfloat16."""

import pytest
from small_system import small_table

from tfpose.evaluation.dtype_choice import choose_dtype
from tfpose.inference import bfloat16_devices
from tfpose.inference.inference_dtype import InferenceDtype


@pytest.fixture(autouse=True)
def processor(monkeypatch, tmp_path):
    """The feature flags of a processor with bfloat16, in a file that tests may change."""
    path = tmp_path / "cpuinfo"
    path.write_text("flags\t\t: fpu avx512f avx512_bf16\n")
    monkeypatch.setattr(bfloat16_devices, "_CPU_INFO", path)
    monkeypatch.setattr(bfloat16_devices.tf.config, "list_physical_devices", lambda kind: [])
    return path


@pytest.fixture
def auto(tmp_path):
    small_table(tmp_path / "data", num_images=2)
    return InferenceDtype("auto", str(tmp_path / "data"), "train")


def scores(**by_dtype):
    return lambda table, dtype: by_dtype[dtype]


def refuse_to_score(table, dtype):
    raise AssertionError("nothing must be measured")


def test_auto_takes_bfloat16_where_it_loses_less_than_the_limit(auto, capsys):
    assert choose_dtype(auto, scores(float32=71.35, bfloat16=71.16)) == "bfloat16"
    expected = "note: inference in bfloat16: AP on split train: float32 71.35, bfloat16 71.16, loss 0.19\n"
    assert capsys.readouterr().err == expected


def test_auto_falls_back_to_float32_where_it_loses_more(auto, capsys):
    assert choose_dtype(auto, scores(float32=71.35, bfloat16=71.1)) == "float32"
    assert capsys.readouterr().err == (
        "note: inference in float32: AP on split train: float32 71.35, bfloat16 71.10, loss 0.25, must be less than "
        "0.2\n"
    )


def test_auto_measures_nothing_where_the_processor_lacks_bfloat16(auto, processor, capsys):
    processor.write_text("flags\t\t: fpu avx2 avx512f\n")
    assert choose_dtype(auto, refuse_to_score) == "float32"
    assert capsys.readouterr().err == (
        "note: inference in float32: the CPU has no bfloat16 instructions (AVX512-BF16 or AMX)\n"
    )


def test_bfloat16_is_used_everywhere_with_a_note_where_it_is_slow(processor, capsys):
    assert choose_dtype(InferenceDtype("bfloat16"), refuse_to_score) == "bfloat16"
    assert capsys.readouterr().err == ""
    processor.write_text("flags\t\t: fpu\n")
    assert choose_dtype(InferenceDtype("bfloat16"), refuse_to_score) == "bfloat16"
    assert "the CPU has no bfloat16 instructions" in capsys.readouterr().err


def test_float32_asks_nothing(processor, capsys):
    processor.unlink()
    assert choose_dtype(InferenceDtype(), refuse_to_score) == "float32"
    assert capsys.readouterr().err == ""


def test_an_older_graphics_card_is_named(monkeypatch):
    monkeypatch.setattr(bfloat16_devices.tf.config, "list_physical_devices", lambda kind: ["card"])
    details = {"compute_capability": (7, 5)}
    monkeypatch.setattr(bfloat16_devices.tf.config.experimental, "get_device_details", lambda device: details)
    assert bfloat16_devices.find_obstacle() == "the GPU must have compute capability 8.0 for bfloat16, got 7.5"


def test_auto_requires_people_and_a_dataset(auto):
    with pytest.raises(ValueError, match="split train must have labeled people, got none"):
        choose_dtype(auto, scores(float32=float("nan"), bfloat16=float("nan")))
    with pytest.raises(ValueError, match="inference_dtype='auto' requires a dataset"):
        InferenceDtype("auto")
    with pytest.raises(ValueError, match="inference_dtype must be one of float32, bfloat16, auto, got 'half'"):
        InferenceDtype("half")
