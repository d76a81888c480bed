import dataclasses

import numpy as np
import pytest
from video_cases import people

from tfpose.poses import Poses, no_poses
from tfpose.prediction.drawing import DrawingStyle, PoseArtist
from tfpose.prediction.head_blur import blur_heads, head_circle, head_joints
from tfpose.skeletons import COCO17, POSETRACK15, skeleton_from_names
from tfpose.visualization import identity_color

SIZE = (240, 320)
PLAIN = skeleton_from_names("rod", ("a", "b"), [("a", "b")])
WITHOUT_TRAILS = DrawingStyle(joint_threshold=0.2, trail_frames=0)


def gray():
    return np.full((*SIZE, 3), 100, np.uint8)


def rod(start, stop, score, track_id=-1):
    """A person of two joints."""
    keypoints = np.array([[start, stop]], float)
    box = np.array([[*keypoints[0].min(axis=0), *keypoints[0].max(axis=0)]])
    return Poses(keypoints, np.full((1, 2), score), np.array([score]), box, np.array([track_id]))


def test_a_certain_limb_has_the_color_of_its_identity():
    artist = PoseArtist(PLAIN, WITHOUT_TRAILS)
    for track_id in (3, 4, 3):
        drawn = artist.draw(gray(), rod((50, 120), (250, 120), 1.0, track_id))
        np.testing.assert_array_equal(drawn[120, 150], identity_color(track_id))


def test_an_uncertain_limb_is_less_opaque():
    artist = PoseArtist(PLAIN, WITHOUT_TRAILS)
    distances = []
    for score in (0.2, 0.5, 0.8, 1.0):
        drawn = artist.draw(gray(), rod((50, 120), (250, 120), score))
        distances.append(np.abs(drawn[120, 150].astype(int) - 100).sum())
    assert distances == sorted(distances)
    # A quarter opaque for no certainty at all, and the rest in proportion: 0.25 + 0.75 * 0.2 = 0.4.
    assert distances[0] == pytest.approx(0.4 * distances[3], abs=2)


def test_what_is_far_from_people_stays_as_it_is():
    image = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    before = image.copy()
    drawn = PoseArtist(PLAIN, WITHOUT_TRAILS).draw(image, rod((50, 120), (100, 160), 0.6))
    is_changed = (drawn != before).any(axis=2)
    rows, columns = np.nonzero(is_changed)
    assert is_changed[120:161, 50:101].any()
    assert (rows.min() > 112, rows.max() < 168, columns.min() > 42, columns.max() < 108) == (True,) * 4


def test_a_frame_is_drawn_over_and_one_that_cannot_be_written_is_copied():
    frames = [gray(), gray(), gray()[:, ::-1]]
    frames[1].flags.writeable = False
    drawn = [PoseArtist(PLAIN, WITHOUT_TRAILS).draw(frame, rod((50, 120), (250, 120), 1.0)) for frame in frames]
    assert drawn[0] is frames[0]
    np.testing.assert_array_equal(frames[1:], [gray(), gray()])
    np.testing.assert_array_equal(drawn[1:], [drawn[0], drawn[0]])


@pytest.mark.parametrize("score", [0.0, 0.19])
def test_joints_below_the_threshold_are_not_drawn(score):
    drawn = PoseArtist(PLAIN, WITHOUT_TRAILS).draw(gray(), rod((50, 120), (250, 120), score, 1))
    np.testing.assert_array_equal(drawn, gray())


def test_a_threshold_of_zero_does_not_draw_absent_joints():
    artist = PoseArtist(PLAIN, DrawingStyle(joint_threshold=0.0))
    np.testing.assert_array_equal(artist.draw(gray(), rod((50, 120), (250, 120), 0.0, 1)), gray())


@pytest.mark.parametrize("stop", [(-400, 100), (700, 100), (150, -500), (150, 600), (1e9, -1e9), (319, 239)])
@pytest.mark.parametrize("score", [0.5, 1.0])
def test_people_partly_outside_are_drawn_as_far_as_they_are_inside(stop, score):
    """Each within two pictures of the middle; what is further out is left away."""
    drawn = PoseArtist(PLAIN, WITHOUT_TRAILS).draw(gray(), rod((150, 120), stop, score))
    assert (drawn != 100).any()
    assert drawn.shape == gray().shape


def test_trails_show_where_people_were_and_fade_away():
    artist = PoseArtist(PLAIN, DrawingStyle(joint_threshold=0.2, trail_frames=4))
    for step in range(4):
        drawn = artist.draw(gray(), rod((40 + 60 * step, 100), (40 + 60 * step, 140), 1.0, 7))
    # Between where the person was a step ago and is now; the edge of a thin line is mixed with what is below it.
    np.testing.assert_allclose(drawn[120, 190], identity_color(7), atol=20)
    assert (drawn[118:123, 60] != 100).any()
    for _ in range(2):
        drawn = artist.draw(gray(), no_poses(2))
    assert (drawn[118:123, 60] == 100).all()
    for _ in range(4):
        drawn = artist.draw(gray(), no_poses(2))
    np.testing.assert_array_equal(drawn, gray())


def test_people_without_identity_leave_no_trail():
    artist = PoseArtist(PLAIN, DrawingStyle(joint_threshold=0.2, trail_frames=9))
    artist.draw(gray(), rod((40, 100), (40, 140), 1.0))
    np.testing.assert_array_equal(artist.draw(gray(), no_poses(2)), gray())


def test_wrong_styles_are_named():
    with pytest.raises(ValueError, match="--trail_frames must be at least 0, got -1"):
        DrawingStyle(trail_frames=-1)
    with pytest.raises(ValueError, match="--joint_threshold must be at least 0, got nan"):
        DrawingStyle(joint_threshold=float("nan"))


def standing_person():
    """A person 200 pixels high, in the joints of COCO."""
    body = [(0, 0), (4, -4), (-4, -4), (9, -2), (-9, -2), (22, 25), (-22, 25), (30, 60), (-30, 60), (34, 90), (-34, 90)]
    body += [(14, 85), (-14, 85), (15, 130), (-15, 130), (16, 175), (-16, 175)]
    keypoints = (np.array(body, float) + np.array([160, 40]))[None]
    return dataclasses.replace(people([(0, 0)]), keypoints=keypoints)


def noise():
    return np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)


def test_heads_are_blurred_beyond_recognition_and_bodies_are_not():
    image = noise()
    blur_heads(image, standing_person(), COCO17)
    face = image[34:47, 151:170].astype(float)
    # Neighbouring pixels of noise differ by 85 on average.
    assert np.abs(np.diff(face, axis=1)).mean() < 10
    np.testing.assert_array_equal(image[70:], noise()[70:])
    np.testing.assert_array_equal(image[:, :100], noise()[:, :100])


@pytest.mark.parametrize("names", [("leftEye", "REar"), ("lefteye", "righteye"), ("Nose", "face-1"), ("MidHead", "x")])
def test_heads_are_found_by_names_of_any_form(names):
    is_head, is_shoulder = head_joints(skeleton_from_names("own", (*names, "leftForearm", "rear_paw")))
    assert is_head.tolist() == [True, names[1] != "x", False, False] and not is_shoulder.any()


def test_a_skeleton_without_heads_cannot_be_blurred():
    with pytest.raises(ValueError, match="--blur_heads requires a joint of the head .* got a model with hip, knee"):
        blur_heads(noise(), no_poses(2), skeleton_from_names("legs", ("hip", "knee")))


def test_heads_of_people_whom_the_tracker_drops_are_blurred_too():
    artist = PoseArtist(COCO17, DrawingStyle(should_blur_heads=True))
    drawn = artist.draw(noise(), no_poses(17), standing_person())
    expected = noise()
    blur_heads(expected, standing_person(), COCO17)
    np.testing.assert_array_equal(drawn, expected)
    assert (drawn != noise()).any()


def test_a_head_without_joints_is_looked_for_above_the_shoulders():
    person = standing_person()
    is_present = np.array([joint.endswith(("shoulder", "hip")) for joint in COCO17.joints])
    is_shoulder = np.array(["shoulder" in joint for joint in COCO17.joints])
    x, y, radius = head_circle(person.keypoints[0], is_present, ~is_present, is_shoulder)
    assert abs(x - 160) < 1
    assert np.hypot(*(np.array([x, y]) - (160, 40))) < radius


@pytest.mark.parametrize("skeleton", [COCO17, POSETRACK15])
def test_circles_hold_all_joints_of_the_head(skeleton):
    words = {"nose", "eye", "ear", "head"}
    is_head = np.array([bool(words & set(joint.split("_"))) for joint in skeleton.joints])
    is_shoulder = np.array(["shoulder" in joint for joint in skeleton.joints])
    rng = np.random.default_rng(0)
    for _ in range(50):
        keypoints = rng.uniform(0, 200, (skeleton.num_joints, 2))
        x, y, radius = head_circle(keypoints, np.ones(skeleton.num_joints, bool), is_head, is_shoulder)
        assert np.hypot(*(keypoints[is_head] - (x, y)).T).max() <= radius * 1.001


@pytest.mark.parametrize("place", [(-3, -3), (321, 120), (160, 243), (-500, 20), (5000, 5000)])
def test_heads_at_and_beyond_the_borders_do_no_harm(place):
    image = noise()
    person = standing_person()
    blur_heads(image, dataclasses.replace(person, keypoints=person.keypoints - (160, 40) + place), COCO17)
    np.testing.assert_array_equal(image[100:120, 100:120], noise()[100:120, 100:120])
