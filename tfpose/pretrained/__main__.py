"""Converts trained weights of other projects to weights of tfpose, without the software of these projects.

    tfpose pretrained FILE --output=NAME.weights.h5
    tfpose pretrained PUBLIC_NAME [--output=NAME.weights.h5]
    tfpose pretrained list

FILE is a .pth or .pth.tar file of Microsoft's human-pose-estimation.pytorch or deep-high-resolution-net.pytorch, of
ViTPose, or of the top-down ResNets, HRNets and ViTPoses of MMPose; a .pdparams file of a PP-TinyPose or PicoDet of
PaddleDetection; a .pkl file of the Keypoint R-CNN of Detectron2 or Detectron; or a .safetensors file with the tensors
of any of these networks, or the folder of a ViTPose on Hugging Face. tfpose recognizes the network in FILE and prints
a description; tfpose never executes code from FILE.

PUBLIC_NAME is the name of a public checkpoint, a file of trained weights that another project published. tfpose
downloads the file and, with --output, converts the file. `tfpose pretrained list` prints all names with sizes, scores
and licenses. Other commands take the names too: tfpose predict clip.mp4 --model=PUBLIC_NAME.

Besides NAME.weights.h5, tfpose writes the work folder NAME/ and, for a keypoint network, the config NAME.py. The work
folder of a person detector is a value for the flag --detector. tfpose evaluate takes the folder of a keypoint network:

    tfpose evaluate --config=NAME.py --workdir=NAME --output_dir=results
"""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tfpose.file_names import local_name
from tfpose.flags.cache_flag import define_cache_flag
from tfpose.flags.command_line import Program, run_program
from tfpose.flags.program_flags import ProgramFlags
from tfpose.flags.startup_messages import start_tensorflow

if TYPE_CHECKING:
    from tfpose.importing.import_settings import ImportSettings


_LIST_NOTE = """\
Each entry: name, size, average precision (AP, in percent) that the publisher states, license, address. AP is that of
COCO val2017. Keypoint networks had the boxes of a detector and used the flip test, unless the entry says otherwise.
"""


def define_flags(values: ProgramFlags) -> None:
    """Defines the flags of the program."""
    values.define_string(
        "output",
        None,
        "File for the converted weights. The name must end in .weights.h5. Required with FILE. With PUBLIC_NAME and "
        "without --output, tfpose only downloads the public checkpoint.",
    )
    values.define_string(
        "input_size",
        None,
        "Size of the network's input in pixels, as HEIGHTxWIDTH, such as 256x192. By default the value that tfpose "
        "recognizes from the checkpoint.",
    )
    values.define_enum(
        "stride_in",
        None,
        ["1x1", "3x3"],
        "Convolution that halves the resolution in the bottleneck blocks of a ResNet: 1x1 in networks that were "
        "trained with Caffe, 3x3 in networks that were trained with PyTorch. By default the value that tfpose "
        "recognizes from the checkpoint.",
    )
    values.define_string(
        "skeleton",
        None,
        "Names and order of the network's joints: coco17 (COCO), posetrack15 (PoseTrack 2017), posetrack18 (PoseTrack "
        "2018), or the path of a COCO annotation file that names the joints. By default the value that tfpose "
        "recognizes from the checkpoint.",
    )
    values.define_enum(
        "decoding",
        None,
        ["quarter", "dark", "udp", "udp_hub"],
        "Rule that computes the position of a joint from a heatmap: quarter moves the peak by a quarter of a heatmap "
        "cell toward the higher neighbor; dark is the Newton step of DARK (Zhang et al. 2020); udp is the variant of "
        "dark in UDP (Huang et al. 2020); udp_hub is udp with the smaller blur of Hugging Face's ViTPose. By default "
        "the value that tfpose recognizes from the checkpoint.",
    )
    define_cache_flag(values)


def run(values: ProgramFlags, inputs: Sequence[str]) -> None:
    """Downloads, recognizes and converts a checkpoint."""
    if len(inputs) != 1:
        raise ValueError(
            "the argument must be one checkpoint file or the name of a public checkpoint ('list' prints all names), "
            f"got {' '.join(inputs) or 'none'}"
        )
    if inputs[0] == "list":
        _print_public()
        return
    output = _output_path(values)
    settings = _settings(values)
    path = _find_checkpoint(inputs[0], values.cache, needs_output=output is None)
    if output is None:
        print(path)
        return
    # Here and not above: TensorFlow takes seconds to import, --help and downloads should not.
    start_tensorflow()
    from tfpose.importing.conversion import convert_checkpoint

    convert_checkpoint(path, output, settings)


def _output_path(values: ProgramFlags) -> pathlib.Path | None:
    if values.output is None:
        return None
    if not values.output.endswith(".weights.h5") or pathlib.Path(values.output).name == ".weights.h5":
        raise ValueError(f"--output must end in .weights.h5, such as models/r50.weights.h5, got {values.output!r}")
    return pathlib.Path(values.output)


def _settings(values: ProgramFlags) -> ImportSettings:
    from tfpose.importing.import_settings import ImportSettings, parse_size

    size = parse_size(values.input_size) if values.input_size else None
    return ImportSettings(size, values.stride_in or "", values.skeleton or "", values.decoding or "")


def _find_checkpoint(argument: str, cache: str | None, needs_output: bool) -> pathlib.Path:
    """Returns the file of a path, or the file in the cache of a name or an address."""
    from tfpose.pretrained.cache import cache_directory, check_cached_file, fetch_checkpoints
    from tfpose.pretrained.public_checkpoints import PUBLIC_CHECKPOINTS, checkpoint_at

    path = pathlib.Path(local_name(argument))
    if path.exists():
        if needs_output:
            raise ValueError("--output must be given with a file, got nothing")
        return path
    if argument.startswith(("http://", "https://")):
        name, public = checkpoint_at(argument)
    elif argument in PUBLIC_CHECKPOINTS:
        name, public = argument, PUBLIC_CHECKPOINTS[argument]
    else:
        raise FileNotFoundError(
            f"{argument}: must be a file or the name of a public checkpoint, got neither; 'list' prints the names"
        )
    (file,) = fetch_checkpoints([(name, public)], cache_directory(cache))
    check_cached_file(file, public)
    print(f"{argument}: {public.url} (published: {public.expected or 'no scores known'}; {public.terms})")
    return file


def _print_public() -> None:
    from tfpose.pretrained.public_checkpoints import PUBLIC_CHECKPOINTS

    print(_LIST_NOTE)
    for name, public in PUBLIC_CHECKPOINTS.items():
        size = f"{public.megabytes} MB" if public.megabytes else ""
        print(f"{name:<37} {size:>7}  {public.expected}\n    {public.terms}\n    {public.url}")


PROGRAM = Program(
    "tfpose pretrained",
    __doc__,
    define_flags,
    run,
    takes_inputs=True,
    interruption="interrupted; the same command continues",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the program; returns its exit code."""
    return run_program(PROGRAM, arguments)


if __name__ == "__main__":
    sys.exit(main())
