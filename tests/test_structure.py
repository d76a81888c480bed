"""The structure of the library: which room may import which, how long functions are, where a system is chosen."""

from __future__ import annotations

import ast
import pathlib
from collections.abc import Iterator

import pytest

PROJECT = pathlib.Path(__file__).resolve().parents[1]
SOURCES = sorted(
    [*(PROJECT / "tfpose").rglob("*.py"), *(PROJECT / "data_prep").rglob("*.py"), *PROJECT.glob("*_main.py")]
)
# From the bottom to the top: a module imports its own row and those before it.
ROOMS = (
    ("skeletons", "poses", "garbage", "json_files", "processes", "file_locks", "stderr_filter", "file_names")
    + ("messages", "running_command", "type_rules", "typed_json"),
    ("geometry", "boxes", "oks", "frame_fit", "crops", "heatmaps", "interruption", "picture_files", "video_files")
    + ("video_encoders", "video_sound"),
    ("pose_exchange", "coco", "coco_results", "posetrack", "tracking", "visualization", "losses", "models"),
    ("metrics", "data", "weights_files", "checkpoints", "pretrained"),
    ("inference", "report"),
    ("importing", "exporting", "evaluation"),
    ("training", "prediction"),
    ("systems",),
    ("flags", "api"),
    ("programs",),
)
PROGRAMS = {
    *("console", "export", "predict", "predict_beam", "score", "track", "tune", "__main__"),
    *("pretrained.__main__", "report.__main__", "report.program", "pretrained.program"),
}
SYSTEMS = {"two_stage", "single_network", "keypoint_rcnn", "picodet"}
MOST_LINES, MOST_PARAMETERS = 60, 7


def room_of(module: str) -> str:
    """The room of a module of the library."""
    if not module.startswith("tfpose.") or module.removeprefix("tfpose.") in PROGRAMS:
        return "programs"
    return module.split(".")[1]


def module_of(path: pathlib.Path) -> str:
    return ".".join(path.relative_to(PROJECT).with_suffix("").parts).removesuffix(".__init__")


def imported_modules(path: pathlib.Path) -> Iterator[str]:
    """Modules of this project that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = (f"{node.module}.{alias.name}" for alias in node.names)
            yield from names if node.module in ("tfpose", "data_prep") else [node.module]


def functions(path: pathlib.Path) -> Iterator[ast.FunctionDef]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef):
            yield node


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_imports_never_run_from_a_lower_to_a_higher_room(path):
    level = {room: height for height, rooms in enumerate(ROOMS) for room in rooms}
    importer = module_of(path)
    # The package itself hands out names of any room when they are first used.
    if importer == "tfpose":
        return
    for imported in imported_modules(path):
        if imported.split(".")[0] not in ("tfpose", "data_prep") or imported in ("tfpose", "tfpose.__version__"):
            continue
        assert level[room_of(imported)] <= level[room_of(importer)], f"{importer} imports {imported}"


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_functions_are_short(path):
    for function in functions(path):
        lines = (function.end_lineno or 0) - function.lineno + 1
        assert lines <= MOST_LINES, f"{function.name} has {lines} lines"


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_functions_have_few_parameters(path):
    for function in functions(path):
        arguments = function.args
        names = [a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
        count = len([name for name in names if name not in ("self", "cls")])
        # A function that builds a network has a parameter for each setting of a config.
        is_builder = function.name.startswith("build_") and "models" in path.parts
        assert is_builder or count <= MOST_PARAMETERS, f"{function.name} has {count} parameters"


def test_one_module_chooses_the_system():
    """Nothing else compares with a system's name or keeps a table of systems."""
    for path in SOURCES:
        # Detectors have the names of the systems that train them.
        if path.parent.name in ("systems", "detectors") and path.name == "__init__.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            words = {part.value for part in ast.walk(node) if isinstance(part, ast.Constant)} & SYSTEMS
            is_choice = (isinstance(node, ast.Compare) and words) or (isinstance(node, ast.Dict) and len(words) > 1)
            assert not is_choice, f"{module_of(path)} line {node.lineno} chooses a system"
