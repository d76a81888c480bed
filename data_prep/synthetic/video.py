"""Renders scenes to frames with annotations."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from data_prep.synthetic import motion, rendering
from data_prep.synthetic.annotations import Sighting, SyntheticFrame, annotate
from data_prep.synthetic.camera import Camera
from data_prep.synthetic.figures import Figure, draw_person, person_of_owners
from data_prep.synthetic.props import Prop
from data_prep.synthetic.scenes import Actor, Scene, SceneOptions, Sensor, build_scene
from data_prep.synthetic.shadows import ShadowMap, person_segments

# Motion is computed for this many frames at a time, whatever the length of the video: NumPy may round differently for
# arrays of different lengths, and a frame must not depend on what follows it.
_CHUNK_FRAMES = 16
_SMALLEST_IMAGE = 16
_NEAREST_DEPTH_METRES = 1.6
_SUN_SHADOW, _SOFT_SHADOW = 0.45, 0.35


@dataclass(frozen=True)
class _Moves:
    """Motion of one actor over the frames of a chunk; the first row is the frame before them."""

    points: dict[str, np.ndarray]
    headings: np.ndarray
    head_headings: np.ndarray

    def figure(self, actor: Actor, row: int) -> Figure:
        """Returns the actor in one frame."""
        now = {name: value[row] for name, value in self.points.items()}
        steps = {name: value[row] - value[row - 1] for name, value in self.points.items()}
        speeds = {name: math.sqrt(step.dot(step)) for name, step in steps.items()}
        heading, head_heading = float(self.headings[row]), float(self.head_headings[row])
        return Figure(now, speeds, heading, head_heading, actor.body, actor.looks)


def _move(actor: Actor, seconds: np.ndarray) -> _Moves:
    """Computes the motion of an actor at the given times [T]."""
    course = actor.path.follow(seconds)
    action = motion.LEG_ACTIONS[actor.legs]
    angles = action(actor.body, actor.style, seconds, course.distances)
    if actor.arms is not None:
        angles = motion.ARM_ACTIONS[actor.arms](angles, actor.style, seconds)
    skeleton = motion.build_skeleton(actor.body, angles)
    headings = course.headings + 0.5 * angles.shoulder_twist
    head_headings = course.headings + angles.shoulder_twist + angles.head_yaw
    return _Moves(motion.place_in_world(skeleton, course), headings, head_headings)


@functools.cache
def _normal_numbers() -> np.ndarray:
    """Returns 2^16 equally likely values of a standard normal; drawing from them is faster than the generator."""
    # Every build imports this module for its flags.
    import scipy.special

    return scipy.special.ndtri((np.arange(2**16) + 0.5) / 2**16).astype(np.float32)


class _Film:
    """Applies lens and sensor. The noise is one field, shifted at random in each frame."""

    _SLACK = 48

    def __init__(self, sensor: Sensor, image_size: tuple[int, int], seed: int) -> None:
        self._sensor, self._image_size, self._seed = sensor, image_size, seed
        height, width = image_size
        rng = np.random.default_rng([seed, 1])
        field_shape = (height + self._SLACK, width + self._SLACK, 3)
        levels = _normal_numbers() * np.float32(sensor.noise_sigma)
        self._noise = levels.take(rng.integers(0, len(levels), field_shape, np.uint16))
        rows = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
        columns = np.linspace(-1, 1, width, dtype=np.float32)[None]
        darkening = 1 - sensor.vignette * (rows**2 + columns**2) / 2
        self._gain = cv2.merge([darkening * gain for gain in sensor.white_balance])

    def expose(self, pixels: np.ndarray, frame: int, seconds: float) -> np.ndarray:
        """Converts a float image to uint8."""
        sensor = self._sensor
        if sensor.blur_sigma > 0.25:
            pixels = cv2.GaussianBlur(pixels, (0, 0), sensor.blur_sigma)
        flicker = 1 + sensor.flicker * math.sin(2 * math.pi * seconds / sensor.flicker_seconds)
        rng = np.random.default_rng([self._seed, 2, frame])
        top, left = rng.integers(0, self._SLACK, 2)
        height, width = self._image_size
        picture = pixels * self._gain
        picture *= np.float32(flicker)
        # Adds, rounds and clips in one pass.
        return cv2.add(picture, self._noise[top : top + height, left : left + width], dtype=cv2.CV_8U)


class _Studio:
    """Renders the frames of one scene."""

    def __init__(self, scene: Scene, options: SceneOptions, seed: int) -> None:
        self._scene, self._options = scene, options
        self._film = _Film(scene.sensor, scene.image_size, seed)
        self._shadow = _SOFT_SHADOW if scene.sun is None else _SUN_SHADOW
        self._ground = self._shade_ground()

    def _shade_ground(self) -> np.ndarray:
        """Returns the backdrop with the shadows of all objects, which do not move."""
        scene = self._scene
        if not scene.props:
            return scene.backdrop.pixels
        pixels = scene.backdrop.pixels.copy()
        shadows = ShadowMap(scene.backdrop_camera, pixels.shape[:2], scene.sun)
        for prop in scene.props:
            top = prop.foot + np.array([0, prop.height, 0])
            segments = [(prop.foot, prop.foot, prop.radius)]
            shadows.add(segments if scene.sun is None else [(prop.foot, top, prop.radius)])
        shadows.darken(pixels, self._shadow)
        return pixels

    def frames(self, num_frames: int) -> Iterator[SyntheticFrame]:
        """Renders the first `num_frames` frames."""
        for first in range(0, num_frames, _CHUNK_FRAMES):
            times = np.arange(first - 1, first + _CHUNK_FRAMES) / self._options.frames_per_second
            moves = [_move(actor, times) for actor in self._scene.actors]
            for row in range(1, min(_CHUNK_FRAMES, num_frames - first) + 1):
                yield self._render(moves, row, first + row - 1, float(times[row]))

    def _render(self, moves: list[_Moves], row: int, frame: int, seconds: float) -> SyntheticFrame:
        scene = self._scene
        height, width = scene.image_size
        x, y = scene.pan.at(seconds)
        camera = scene.camera.shifted(x, y)
        left, top = scene.margin + x, scene.margin + y
        canvas = rendering.Canvas.over(self._ground[top : top + height, left : left + width])
        figures = [move.figure(actor, row) for actor, move in zip(scene.actors, moves, strict=True)]
        self._cast_shadows(canvas, camera, figures)
        sightings = self._draw(canvas, camera, figures, (-left, -top))
        image = self._film.expose(canvas.pixels, frame, seconds)
        return annotate(image, canvas.owners, sightings, self._options.min_joints)

    def _cast_shadows(self, canvas: rendering.Canvas, camera: Camera, figures: list[Figure]) -> None:
        shadows = ShadowMap(camera, self._scene.image_size, self._scene.sun)
        for figure in figures:
            if _is_in_front(figure):
                shadows.add(person_segments(figure.world_points, figure.body.stature))
        shadows.darken(canvas.pixels, self._shadow)

    def _draw(
        self,
        canvas: rendering.Canvas,
        camera: Camera,
        figures: list[Figure],
        shift: tuple[int, int],
    ) -> list[Sighting]:
        """Draws people and objects from far to near."""
        order: list[tuple[float, Prop | int]] = [(prop.depth, prop) for prop in self._scene.props]
        for person, figure in enumerate(figures):
            if _is_in_front(figure):
                order.append((float(figure.world_points["hip_middle"][2]), person))
        sightings = []
        for _, item in sorted(order, key=lambda entry: -entry[0]):
            if isinstance(item, Prop):
                rendering.draw_sprite(canvas, item.sprite, shift, rendering.OBJECT)
            else:
                draw_person(canvas, camera, self._scene.light, figures[item], item)
                track_id = self._scene.actors[item].track_id
                area = np.count_nonzero(person_of_owners(canvas.owners) == item)
                sightings.append(_sight(figures[item], camera, item, track_id, int(area)))
        return sightings


def _is_in_front(figure: Figure) -> bool:
    """Returns whether a figure is far enough in front of the camera to be drawn."""
    return bool(figure.world_points["hip_middle"][2] > _NEAREST_DEPTH_METRES)


def _sight(figure: Figure, camera: Camera, person: int, track_id: int | None, area: int) -> Sighting:
    names = list(figure.world_points)
    world = np.stack([figure.world_points[name] for name in names])
    image, scale = camera.project(world)
    middle = names.index("hip_middle")
    head = figure.world_points["head_center"]
    # Off the optical axis the camera sees a head turned by the angle of the ray to it.
    view = math.atan2(float(head[0]), float(head[2]))
    return Sighting(
        person=person,
        track_id=track_id,
        image_points=dict(zip(names, image, strict=True)),
        depths=dict(zip(names, world[:, 2].tolist(), strict=True)),
        pixels_per_meter=float(scale[middle]),
        stature=figure.body.stature,
        facing=math.cos(figure.head_heading + view),
        area=area,
    )


def generate_video(
    seed: int,
    num_frames: int = 20,
    height: int = 270,
    width: int = 480,
    max_people: int = 5,
    options: SceneOptions | None = None,
) -> Iterator[SyntheticFrame]:
    """Renders a video of people who walk, run, wave or sit in a made-up place.

    Equal arguments give equal bytes, in any order and process. The frames of a short video are the first frames of a
    longer one.

    Args:
        seed: Seed of the video, 0 or more.
        num_frames: Number of frames.
        height: Height of the frames in pixels.
        width: Width of the frames in pixels.
        max_people: Largest number of labeled people; a video has between 1 and this many.
        options: Contents of the scene.

    Returns:
        The frames; each is rendered when the iterator reaches it.

    Raises:
        ValueError: An argument is out of range.
    """
    for name, value, least in (
        ("seed", seed, 0),
        ("num_frames", num_frames, 1),
        ("height", height, _SMALLEST_IMAGE),
        ("width", width, _SMALLEST_IMAGE),
        ("max_people", max_people, 1),
    ):
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}")
    options = options or SceneOptions()
    scene = build_scene(seed, (height, width), max_people, options)
    return _Studio(scene, options, seed).frames(num_frames)
