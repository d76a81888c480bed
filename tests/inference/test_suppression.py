"""Suppression of poses found twice: golden cases of the public codes, and cases worked by hand."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfpose.inference.suppression import suppress_poses
from tfpose.inference.two_stage import rescore_poses
from tfpose.oks import object_keypoint_similarity
from tfpose.skeletons import COCO17

NUM_GOLDEN_CASES = 36


def read_golden(golden_dir, name: str):
    path = golden_dir / "simple_baseline" / f"suppression_{name}.json.gz"
    return json.loads(gzip.decompress(path.read_bytes()))


def read_golden_cases(golden_dir):
    """People of one image each, with what the public codes keep of them."""
    cases = read_golden(golden_dir, "nms")["oks_nms"]
    assert len(cases) == NUM_GOLDEN_CASES
    return cases


@pytest.fixture(params=range(NUM_GOLDEN_CASES))
def golden_case(request, golden_dir):
    case = read_golden_cases(golden_dir)[request.param]
    return case, people_of(case)


def people_of(case):
    """The people of a case as arrays."""
    sigmas = COCO17.sigmas if case["sigmas"] is None else np.array(case["sigmas"])
    people = case["persons"]
    keypoints = np.array([p["keypoints"] for p in people]).reshape(-1, len(sigmas), 3)
    visible = case["in_vis_threshold"]
    return {
        "keypoints": keypoints[..., :2],
        "scores": np.array([p["score"] for p in people]),
        "areas": np.array([p["area"] for p in people]),
        "sigmas": sigmas,
        "is_visible": None if visible is None else keypoints[..., 2] > visible,
    }


def test_suppression_keeps_whom_the_public_codes_keep(golden_dir):
    """Cases without a threshold of visibility, which the evaluations of the public codes do not set."""
    cases = [case for case in read_golden_cases(golden_dir) if case["in_vis_threshold"] is None]
    assert len(cases) == 27
    for case in cases:
        people = people_of(case)
        del people["is_visible"]
        kept = suppress_poses(**people, threshold=case["threshold"]).tolist()
        assert kept == case["keep"] == case["mmpose_keep"]


def test_similarity_agrees_with_microsoft(golden_case):
    case, people = golden_case
    keypoints, areas, is_visible = people["keypoints"], people["areas"], people["is_visible"]
    similarities = object_keypoint_similarity(
        keypoints[:1],
        keypoints[1:],
        areas[:1],
        areas[1:],
        people["sigmas"],
        None if is_visible is None else is_visible[None, 1:],
    )
    np.testing.assert_allclose(similarities.ravel(), case["oks_first_to_rest"], rtol=1e-12)


def test_rescored_and_suppressed_people_agree_with_microsoft(golden_dir):
    cases = read_golden(golden_dir, "rescore")
    assert len(cases) == 12
    for case in cases:
        poses, images, areas = (np.array(case[key]) for key in ("preds", "image", "area"))
        box_scores = np.array(case["box_score"])
        scores = np.asarray(rescore_poses(box_scores, poses[..., 2], case["in_vis_threshold"]))
        for image, expected in zip(dict.fromkeys(case["image"]), case["kept"], strict=True):
            people = np.flatnonzero(images == image)
            kept = people[
                suppress_poses(
                    poses[people, :, :2],
                    scores[people],
                    areas[people],
                    COCO17.sigmas,
                    case["oks_threshold"],
                )
            ]
            assert kept.tolist() == [person["index"] for person in expected]
            # Microsoft's boxes and scores are float32.
            golden_scores = [person["score"] for person in expected]
            np.testing.assert_allclose(scores[kept], golden_scores, rtol=1e-6)


def person_at(x: float, num_joints: int = 2) -> np.ndarray:
    return np.tile([x, 0.0], (num_joints, 1))


def test_similarity_at_one_constant_distance():
    """Area 100 and sigma 0.1 make s k = 10 * 0.2 = 2 pixels: two pixels away is exp(-1/2)."""
    similarity = object_keypoint_similarity(
        person_at(0)[None],
        person_at(2)[None],
        np.array([100.0]),
        np.array([100.0]),
        np.full(2, 0.1),
    )
    np.testing.assert_allclose(similarity, [[np.exp(-0.5)]])


def test_similarity_takes_the_mean_area_of_the_two():
    """Areas 50 and 150 are as good as 100 and 100."""
    similarity = object_keypoint_similarity(
        person_at(0)[None], person_at(2)[None], np.array([50.0]), np.array([150.0]), np.full(2, 0.1)
    )
    np.testing.assert_allclose(similarity, [[np.exp(-0.5)]])


def test_similarity_without_a_counted_joint_is_zero():
    similarity = object_keypoint_similarity(
        person_at(0)[None],
        person_at(0)[None],
        np.ones(1),
        np.ones(1),
        np.ones(2),
        np.zeros((1, 1, 2), bool),
    )
    assert similarity.tolist() == [[0.0]]


def test_a_similarity_equal_to_the_threshold_stays():
    keypoints = np.stack([person_at(0), person_at(0)])
    people = (keypoints, np.array([0.9, 0.8]), np.ones(2), np.ones(2))
    assert suppress_poses(*people, threshold=1.0).tolist() == [0, 1]
    assert suppress_poses(*people, threshold=0.999).tolist() == [0]


def test_of_equal_scores_the_first_comes_first():
    keypoints = np.stack([person_at(0), person_at(1000), person_at(2000)])
    kept = suppress_poses(keypoints, np.full(3, 0.5), np.ones(3), np.ones(2), 0.9)
    assert kept.tolist() == [0, 1, 2]


def test_a_person_without_a_good_joint_scores_zero():
    assert rescore_poses(np.array([0.9]), np.array([[0.2, 0.1]]), 0.2).numpy().tolist() == [0.0]


def test_nobody_is_kept_of_nobody():
    nobody = (np.zeros((0, 17, 2)), np.zeros(0), np.zeros(0), COCO17.sigmas)
    assert suppress_poses(*nobody, 0.9).shape == (0,)
    assert rescore_poses(np.zeros(0), np.zeros((0, 17)), 0.2).shape == (0,)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**6), people=st.integers(1, 30), threshold=st.floats(0.1, 0.95))
def test_no_two_kept_people_are_alike_and_everyone_dropped_resembles_a_better_one(seed, people, threshold):
    rng = np.random.default_rng(seed)
    keypoints = rng.integers(0, 3, (people, 1, 1)) * 40 + rng.normal(0, 6, (people, 5, 2))
    scores, areas, sigmas = rng.random(people), rng.uniform(500, 2000, people), np.full(5, 0.1)
    kept = suppress_poses(keypoints, scores, areas, sigmas, threshold)
    alike = object_keypoint_similarity(keypoints, keypoints, areas, areas, sigmas) > threshold
    assert np.all(np.diff(scores[kept]) < 0)
    assert alike[np.ix_(kept, kept)].sum() == len(kept)
    for person in set(range(people)) - set(kept.tolist()):
        assert np.any(alike[kept, person] & (scores[kept] > scores[person]))


def test_two_hundred_people_cost_at_most_one_row_of_similarities_each(monkeypatch):
    """Nobody resembles anybody: the worst case. No array may hold all pairs of people."""
    from tfpose.inference import suppression

    sizes = []

    def counted(*arguments):
        similarities = object_keypoint_similarity(*arguments)
        sizes.append(similarities.size)
        return similarities

    monkeypatch.setattr(suppression, "object_keypoint_similarity", counted)
    keypoints = np.stack([person_at(1000 * i) for i in range(200)])
    kept = suppress_poses(keypoints, np.arange(200.0), np.ones(200), np.ones(2), 0.9)
    assert len(kept) == 200
    assert sizes == list(range(199, -1, -1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scores": np.ones(3)}, r"scores must be \(2,\) beside keypoints \(2, 2, 2\), got \(3,\)"),
        ({"scores": np.array([1, np.nan])}, "scores must be finite"),
        ({"sigmas": np.ones(17)}, r"sigmas must be \(2,\) .* got \(17,\)"),
        (
            {"keypoints": np.ones((2, 2, 3))},
            r"keypoints must be \[people, joints, 2\], got \(2, 2, 3\)",
        ),
    ],
)
def test_suppression_says_which_argument_is_wrong(change, message):
    people = {
        "keypoints": np.zeros((2, 2, 2)),
        "scores": np.ones(2),
        "areas": np.ones(2),
        "sigmas": np.ones(2),
    }
    with pytest.raises(ValueError, match=message):
        suppress_poses(**(people | change), threshold=0.9)


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.float16])
def test_similarities_do_not_depend_on_the_type_of_the_numbers(kind):
    known = np.random.default_rng(0).integers(0, 250, (3, 17, 2))
    sizes, sigmas = np.array([200, 100, 50]), np.full(17, 0.5)
    expected = object_keypoint_similarity(known, known, sizes, sizes, sigmas)
    given = known.astype(kind), known.astype(kind), sizes.astype(kind), sizes.astype(kind)
    np.testing.assert_allclose(object_keypoint_similarity(*given, sigmas), expected, rtol=1e-5)
