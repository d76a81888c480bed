"""The flags of the number format of inference."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tfpose.flags.program_flags import ProgramFlags

if TYPE_CHECKING:
    from tfpose.inference.inference_dtype import InferenceDtype

# The values of `inference_dtype.INFERENCE_DTYPES`; programs import their flags without the rest of the library.
_CHOICES = ("float32", "bfloat16", "auto")
_DATA_FLAGS = ("inference_dtype_data", "inference_dtype_split")


def define_dtype_flags(values: ProgramFlags, split_of_auto: str, more: str = "") -> None:
    """Defines --inference_dtype.

    Args:
        values: The flags of the program.
        split_of_auto: The split on which auto measures the loss, in words.
        more: Further sentences about this program, each after a space.
    """
    values.define_enum(
        "inference_dtype",
        "float32",
        _CHOICES,
        "Number format in which the keypoint network or single network finds poses: float32, bfloat16 or auto. "
        "bfloat16 is several times as fast for large networks on CPUs with AMX or AVX512-BF16 and on GPUs of compute "
        "capability 8.0 or higher, and moves joints by a fraction of a pixel. auto is bfloat16 if the device has such "
        f"instructions and the network loses less than 0.2 AP on {split_of_auto}; tfpose prints the AP of both. "
        "A Keypoint R-CNN that --detector names follows bfloat16 too, but not auto, which does not measure detectors. "
        f"Other detectors, heatmaps and decoding are always float32.{more}",
    )


def define_dtype_data_flags(values: ProgramFlags) -> None:
    """Defines --inference_dtype and the flags that name the split for auto."""
    define_dtype_flags(values, "the split of --inference_dtype_data")
    values.define_string(
        "inference_dtype_data",
        None,
        "Folder of a dataset that tfpose build wrote. Before the main work, tfpose finds the poses of the split in "
        "--inference_dtype_split twice, in float32 and in bfloat16. Requires --inference_dtype=auto.",
    )
    values.define_string(
        "inference_dtype_split",
        "val",
        "Split of the dataset in --inference_dtype_data. Requires --inference_dtype_data.",
    )


def dtype_from_flags(values: ProgramFlags) -> InferenceDtype:
    """Returns the number format that the flags name, for programs with `define_dtype_data_flags`.

    Raises:
        ValueError: A flag requires another.
    """
    from tfpose.inference.inference_dtype import InferenceDtype

    if values.inference_dtype != "auto":
        for name in _DATA_FLAGS:
            if values[name].present:
                raise ValueError(f"--{name} requires --inference_dtype=auto, got {values.inference_dtype}")
        return InferenceDtype(values.inference_dtype)
    if not values.inference_dtype_data:
        raise ValueError("--inference_dtype=auto requires --inference_dtype_data, got none")
    return InferenceDtype(values.inference_dtype, values.inference_dtype_data, values.inference_dtype_split)
