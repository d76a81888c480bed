"""The commands of README.md and docs/: every flag is known to its program, and those marked to run do run."""

from __future__ import annotations

import importlib
import json
import pathlib
import re
import shlex
import subprocess
import sys

import documentation_pages as pages
import program_runs
import pytest

from tfpose.console import SUBCOMMANDS
from tfpose.flags.command_line import define_all_flags, parse_arguments
from tfpose.flags.flag_errors import FLAG_ERRORS, describe_flag_error
from tfpose.flags.program_flags import ProgramFlags

sys.path.insert(0, str(pages.PROJECT / "tests" / "data_prep"))
import source_folders

BLOCKS = [block for page in pages.PAGES for block in pages.read_blocks(page)]
# Made by a command in front of it, with the sections of this one.
GENERATED_CONFIGS = {"models/r50.py": "two_stage_resnet50_coco"}
# Pages build on each other: the first makes the data, the last three read what the training left.
RUN_ORDER = (
    "convert_your_data.md",
    "custom_skeleton.md",
    "README.md",
    "train.md",
    "score_posetrack.md",
    "serve.md",
)
# Of 'run with a small network and N steps'.
SMALL_RUN = re.compile(r"run with a small network and (\d+) steps")
SMALL_FLAGS = (
    "--config.network.input_size=(64,64)",
    "--config.network.base_width=8",
    "--config.network.deconv_filters=8",
    "--config.batch_size=4",
    "--config.optimization.warmup_steps=0",
    "--config.run.checkpoint_every=2",
    "--config.run.evaluate_every=4",
    "--config.run.pictures_every=4",
    # Devices cannot be divided in a process that has used TensorFlow.
    "--config.strategy=one_device",
)


def program_commands() -> dict[str, list[tuple[pages.Block, list[str]]]]:
    """By subcommand of `tfpose`, where its commands stand and their arguments."""
    found: dict[str, list[tuple[pages.Block, list[str]]]] = {}
    for block in BLOCKS:
        for words in pages.commands(block):
            if words[0] != "tfpose":
                continue
            arguments = words[2:]
            for name, stand_in in GENERATED_CONFIGS.items():
                arguments = [word.replace(f"--config={name}", f"--config={stand_in}") for word in arguments]
            found.setdefault(words[1], []).append((block, arguments))
    return found


def check_flags(program: str, commands: list[list[str]]) -> list[str]:
    """For each command an empty text if the program takes it, else what the program says."""
    module = importlib.import_module(SUBCOMMANDS[program][0])
    said = []
    for arguments in commands:
        called, words = module.choose_program(arguments) if program == "eval_main.py" else (module.PROGRAM, arguments)
        values = ProgramFlags(words)
        try:
            define_all_flags(called, values)
            parse_arguments(called, values)
            said.append("")
        except FLAG_ERRORS as error:
            said.append(describe_flag_error(error, program, values))
    return said


def test_the_pages_have_commands_of_every_program():
    assert set(program_commands()) == set(SUBCOMMANDS)
    assert sum(map(len, program_commands().values())) > 40


@pytest.mark.parametrize("program", sorted(program_commands()))
def test_programs_know_the_flags_of_their_commands(program):
    found = program_commands()[program]
    said = check_flags(program, [arguments for _, arguments in found])
    wrong = [f"{block}: {text}" for (block, _), text in zip(found, said, strict=True) if text]
    assert not wrong, "\n".join(wrong)


def test_unknown_flags_and_keys_would_be_seen():
    config = "--config=two_stage_resnet50_coco"
    said = check_flags(
        "train",
        [[config, "--workdir=x"], [config, "--wrokdir=x"], [config, "--workdir=x", "--config.batch_sise=3"], [config]],
    )
    assert [bool(text) for text in said] == [False, True, True, True]
    assert "wrokdir" in said[1] and "batch_sise" in said[2] and "workdir" in said[3]


def test_make_targets_and_extras_exist():
    makefile = (pages.PROJECT / "Makefile").read_text()
    setup = (pages.PROJECT / "setup.py").read_text()
    words = [words for block in BLOCKS for words in pages.commands(block)]
    targets = {words[1] for words in words if words[0] == "make"}
    extras = {extra for words in words if words[0] == "pip" for extra in re.findall(r"\[(\w+)\]", " ".join(words))}
    assert {"demo", "test"} <= targets and extras
    assert not [name for name in targets if not re.search(rf"^{name}:", makefile, re.MULTILINE)]
    assert not [name for name in extras if f'"{name}": [' not in setup]


def test_links_and_pictures_are_there():
    for page in pages.PAGES:
        for target in re.findall(r"\]\(([\w./-]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target} is not there"


def test_the_index_names_every_page():
    index = (pages.PROJECT / "docs" / "README.md").read_text()
    for page in pages.PAGES:
        if page.name != "README.md":
            assert f"]({page.name})" in index, f"docs/README.md does not name {page.name}"


def test_splits_of_the_configs_are_those_that_the_builder_writes():
    """The names that the commands of the pages rely on."""
    from data_prep.coco_keypoints.builder import split_names

    splits = split_names(["train2017", "val2017"])
    for path in sorted((pages.PROJECT / "configs").glob("*_coco.py")):
        data = importlib.import_module(f"configs.{path.stem}").get_config().data
        assert [data.train_split, data.validation_split] == splits, path.name


@pytest.fixture
def folder(tmp_path):
    """Where a reader of the pages stands: beside the programs, with photos of their own."""
    for name in ("train_main.py", "eval_main.py", "configs", "data_prep", "tfpose"):
        (tmp_path / name).symlink_to(pages.PROJECT / name)
    source_folders.write_coco(tmp_path / "my_photos", ("train", "val"))

    def rename_joints(content):
        content["categories"][0]["keypoints"] = ["wrist", "hand_l", "hand_r"]

    source_folders.write_coco(tmp_path / "my_hands", ("train", "val"), change=rename_joints)
    return tmp_path


def run_line(line: str, directive: str, folder: pathlib.Path) -> subprocess.CompletedProcess:
    """Runs a command in this process, which spares it the start of TensorFlow."""
    program, *words = shlex.split(line)
    assert program == "tfpose" and not set(line) & set("$`*?[]{}~|&;<>#!"), f"needs a shell: {line}"
    if match := SMALL_RUN.fullmatch(directive):
        words += [*SMALL_FLAGS, f"--config.run.total_steps={match[1]}"]
    return program_runs.run("-m", "tfpose", *words, folder=folder)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_commands_that_are_marked_run_one_after_the_other(folder):
    ran = []
    for name in RUN_ORDER:
        for block in BLOCKS:
            is_of_page = block.page.name == name and (name != "README.md" or block.page.parent == pages.PROJECT)
            if not is_of_page or not block.directive.startswith("run") or block.language != "console":
                continue
            for line in block.text.replace("\\\n", " ").splitlines():
                done = run_line(line, block.directive, folder)
                assert done.returncode == 0, f"{block}: {line}\n{done.stdout[-1000:]}\n{done.stderr[-3000:]}"
                ran.append(line)
    assert len(ran) > 10
    assert (folder / "runs" / "synthetic" / "model.weights.h5").is_file()
    assert (folder / "results" / "metrics.json").is_file()
    assert (folder / "tracked_best" / "predictions").is_dir()
    assert list((folder / "preview").glob("*.png"))


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language in ("python", "json")], ids=str)
def test_snippets_are_whole(block, tmp_path):
    if block.language == "json":
        json.loads(block.text)
        return
    compile(block.text, str(block), "exec")
    if block.directive == "run":
        done = program_runs.run("-c", block.text, folder=tmp_path, separate_process=True)
        assert done.returncode == 0, done.stderr[-2000:]
