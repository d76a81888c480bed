"""A dataset is added from outside of data_prep: one folder and one entry of `DATASETS`."""

from __future__ import annotations

import json

import numpy as np
import pytest
from source_folders import encoded_picture

from data_prep import build
from data_prep.annotations import IMAGE_COLUMNS, SplitAnnotations
from tfpose.data import records

BUILDER = '''
import numpy as np

from data_prep.annotations import SplitAnnotations, photo_columns
from data_prep.shards import PoseDatasetBuilder
from data_prep.source import Source, digest_files
from tfpose.skeletons import COCO17


class Builder(PoseDatasetBuilder):
    """Toy photos as records."""

    HOMEPAGE = "https://example.org/toy"


def read_source(folder, shift):
    path = folder / "nose.png"
    keypoints, visibility = np.zeros((1, 17, 2), np.float32), np.zeros((1, 17), np.int64)
    keypoints[0, COCO17.index("nose")], visibility[0, COCO17.index("nose")] = (5 + shift, 6), 2
    train = SplitAnnotations(
        image_paths=[path],
        images=photo_columns(1) | {"file_name": [path.name], "image_id": [7], "height": [0], "width": [0]},
        people={
            "keypoints": keypoints,
            "visibility": visibility,
            "box": np.array([[1, 2, 9, 12]], np.float32),
            "head_box": np.full((1, 4), np.nan, np.float32),
            "area": np.array([80], np.float32),
            "is_crowd": np.zeros(1, np.int64),
            "track_id": np.full(1, -1),
            "annotation_id": np.ones(1, np.int64),
            "segmentation": [""],
        },
        first_person=np.array([0, 1]),
    )
    return Source({"train": train}, COCO17, digest_files([], {"shift": shift}))
'''


def test_a_dataset_of_another_folder_is_built_by_one_entry(tmp_path, monkeypatch, capsys):
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "__init__.py").touch()
    (tmp_path / "toy" / "builder.py").write_text(BUILDER)
    (tmp_path / "toy" / "README.md").write_text("Toy photos.\n")
    (tmp_path / "toy" / "CITATIONS.bib").write_text("@misc{toy}\n")
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "nose.png").write_bytes(encoded_picture(20, 30, ".png"))
    monkeypatch.syspath_prepend(tmp_path)
    from toy import builder

    dataset = build.Dataset(
        load_builder=lambda: builder.Builder,
        read_source=lambda folder, values: builder.read_source(folder, values.toy_shift),
        define_flags=lambda values: values.define_integer("toy_shift", 0, "Shift of the nose in pixels."),
    )
    monkeypatch.setitem(build.DATASETS, "toy", dataset)
    arguments = ["toy", f"--source={tmp_path / 'source'}", f"--output={tmp_path / 'out'}", "--toy_shift=3"]
    assert build.main(arguments) == 0, capsys.readouterr().err
    directory = tmp_path / "out" / "toy" / "1.0.0"
    assert capsys.readouterr().out.splitlines()[-1] == str(directory)
    table = records.read_table(directory, "train")
    np.testing.assert_array_equal(table.people["keypoints"][0, 0], [8, 6])
    assert table.images["height"].tolist() == [20]
    assert json.loads((directory / "dataset_info.json").read_text())["description"] == "Toy photos."


@pytest.mark.parametrize("first_person", [[3], [1, 3], [1, 2, 3], [0, 3, 3, 3], [0, 4, 3]])
def test_rows_of_people_that_do_not_fit_the_images_are_refused(first_person):
    """Otherwise images would get the people of others."""
    images = {name: [0, 0] for name in IMAGE_COLUMNS}
    people = {name: [0, 0, 0] for name in records.PERSON_FIELDS}
    SplitAnnotations(["a.jpg", "b.jpg"], images, people, np.array([0, 1, 3]))
    with pytest.raises(ValueError, match="first_person must be 3 rows that ascend from 0, one for each image and the"):
        SplitAnnotations(["a.jpg", "b.jpg"], images, people, np.array(first_person))
