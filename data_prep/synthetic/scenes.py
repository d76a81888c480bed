"""Scenes: everything about a video that is drawn at random, once, from its seed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from data_prep.synthetic import motion, paths
from data_prep.synthetic.appearance import Appearance, sample_appearance
from data_prep.synthetic.backgrounds import PLACES, Backdrop, build_backdrop
from data_prep.synthetic.camera import Camera
from data_prep.synthetic.props import INDOOR_PROPS, OUTDOOR_PROPS, Prop, build_prop
from data_prep.synthetic.rendering import Light

_USUAL_STATURE_METRES = 1.72
_PROP_SIZES = (0.23, 0.60)
_USUAL_SECONDS = 2.0  # Time within which the people of a scene meet.


@dataclass(frozen=True)
class SceneOptions:
    """Contents of scenes.

    Attributes:
        frames_per_second: Frame rate of the video; a lower one shows more of the motion in as many frames.
        ignored_group_probability: Probability of a group of unlabeled people under an ignore region.
        mean_props: Mean number of objects that hide people.
        person_sizes: Smallest and largest height of an adult of usual stature, as fractions of the image height.
        moving_camera_probability: Probability that the camera pans.
        place: Name in `backgrounds.PLACES`; None draws one.
        min_joints: Smallest number of annotated joints of an annotated person; an ignore region covers people with
            fewer.

    Raises:
        ValueError: A field is out of range.
    """

    frames_per_second: float = 10.0
    ignored_group_probability: float = 0.25
    mean_props: float = 1.0
    person_sizes: tuple[float, float] = (0.23, 0.80)
    moving_camera_probability: float = 0.35
    place: str | None = None
    min_joints: int = 5

    def __post_init__(self) -> None:
        if not self.frames_per_second > 0:
            raise ValueError(f"frames_per_second must be positive, got {self.frames_per_second}")
        for name in ("ignored_group_probability", "moving_camera_probability"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ValueError(f"{name} must be between 0 and 1, got {value}")
        if self.mean_props < 0:
            raise ValueError(f"mean_props must not be negative, got {self.mean_props}")
        smallest, largest = self.person_sizes
        if not 0 < smallest <= largest:
            raise ValueError(f"person_sizes must be 0 < smallest <= largest, got {self.person_sizes}")
        if not 1 <= self.min_joints <= 15:
            raise ValueError(f"min_joints must be between 1 and 15, got {self.min_joints}")
        if self.place is not None and self.place not in PLACES:
            raise ValueError(f"place must be one of {', '.join(PLACES)}, got {self.place!r}")


@dataclass(frozen=True)
class Actor:
    """One person of a scene.

    Attributes:
        track_id: Identity of the person; None for unlabeled people.
        body: Lengths of the bones.
        looks: Looks of the person.
        style: Personal way of moving.
        path: Place and heading over time.
        legs: Key in `motion.LEG_ACTIONS`.
        arms: Key in `motion.ARM_ACTIONS`; None moves the arms as the action of the legs does.
    """

    track_id: int | None
    body: motion.Body
    looks: Appearance
    style: motion.Style
    path: paths.Path
    legs: str
    arms: str | None


@dataclass(frozen=True)
class Sensor:
    """Lens and sensor, which change the image after it was drawn.

    Attributes:
        white_balance: [3] gains of red, green and blue.
        flicker: Amplitude of the slow change of brightness, as a fraction.
        flicker_seconds: Period of the slow change of brightness.
        blur_sigma: Standard deviation of the blur in pixels.
        noise_sigma: Standard deviation of the noise in gray levels.
        vignette: Darkening of the corners, as a fraction.
    """

    white_balance: np.ndarray
    flicker: float
    flicker_seconds: float
    blur_sigma: float
    noise_sigma: float
    vignette: float


@dataclass(frozen=True)
class Pan:
    """Motion of the camera, as a shift of the image by whole pixels.

    Attributes:
        amplitude: Amplitude (x, y) in pixels.
        period_seconds: Period of the horizontal motion.
        phase: Phase at time 0 in radians.
    """

    amplitude: tuple[float, float]
    period_seconds: float
    phase: float

    def at(self, seconds: float) -> tuple[int, int]:
        """Returns the shift (x, y) at a time."""
        angle = 2 * math.pi * seconds / self.period_seconds + self.phase
        x, y = self.amplitude
        return round(x * math.sin(angle)), round(y * math.sin(3.7 * angle))


@dataclass(frozen=True)
class Scene:
    """A video before it is rendered.

    Attributes:
        image_size: (height, width) of the frames.
        margin: Number of pixels by which the backdrop extends the image on every side.
        camera: Camera of the image.
        backdrop: Place without people, larger than the image by the margins.
        light: Light on people.
        sun: World direction to the sun; None for diffuse light.
        props: Objects that may hide people.
        actors: People of the scene.
        sensor: Lens and sensor.
        pan: Motion of the camera.
    """

    image_size: tuple[int, int]
    margin: int
    camera: Camera
    backdrop: Backdrop
    light: Light
    sun: np.ndarray | None
    props: tuple[Prop, ...]
    actors: tuple[Actor, ...]
    sensor: Sensor
    pan: Pan

    @property
    def backdrop_camera(self) -> Camera:
        """The camera of the backdrop."""
        return self.camera.shifted(-self.margin, -self.margin)


def _sample_camera(rng: np.random.Generator, image_size: tuple[int, int]) -> Camera:
    """Draws a camera that mostly shows the feet of people as high as 0.6 of the image."""
    height, width = image_size
    horizon = rng.uniform(0.15, 0.40)
    highest = (0.98 - horizon) * _USUAL_STATURE_METRES / 0.6
    return Camera(
        focal_length=rng.uniform(1.7, 2.4) * height,
        center_x=width * rng.uniform(0.4, 0.6),
        horizon_y=height * horizon,
        height_meters=rng.uniform(1.25, highest),
    )


def _sample_light(rng: np.random.Generator, is_indoors: bool) -> tuple[Light, np.ndarray | None]:
    if is_indoors or rng.random() < 0.3:
        direction = np.array([rng.uniform(-0.4, 0.4), -0.6, 0.75])
        sun = None
    else:
        towards_viewer = rng.uniform(0.25, 0.8) if rng.random() < 0.8 else 0.1
        direction = np.array([rng.choice([-1, 1]) * rng.uniform(0.3, 0.8), -0.75, towards_viewer])
        direction /= np.linalg.norm(direction)
        sun = direction * [1, -1, -1]
    direction /= np.linalg.norm(direction)
    return Light(tuple(direction.tolist()), float(rng.uniform(0.5, 0.68))), sun


def _sample_sensor(rng: np.random.Generator, height: int) -> Sensor:
    is_soft = rng.random() < 0.2
    return Sensor(
        white_balance=(rng.uniform(0.85, 1.05) * rng.normal(1, 0.04, 3)).astype(np.float32),
        flicker=rng.uniform(0, 0.06),
        flicker_seconds=rng.uniform(0.7, 4),
        blur_sigma=rng.uniform(0.3, 0.75) * height / 270 if is_soft else 0.0,
        noise_sigma=rng.uniform(1.0, 4.5),
        vignette=rng.uniform(0, 0.3),
    )


def _sample_pan(rng: np.random.Generator, margin: int, is_moving: bool) -> Pan:
    reach = rng.uniform(0.3, 1.0) * margin if is_moving else 0.0
    shake = min(margin, 2) * rng.random() if is_moving else 0.0
    return Pan((reach, shake), rng.uniform(3, 7), rng.uniform(0, 2 * math.pi))


class _Casting:
    """Draws the people of one scene at random."""

    def __init__(
        self,
        rng: np.random.Generator,
        camera: Camera,
        image_size: tuple[int, int],
        backdrop: Backdrop,
        person_sizes: tuple[float, float],
    ) -> None:
        self._person_sizes = person_sizes
        self._rng, self._camera, self._image_size = rng, camera, image_size
        self._far_depth = backdrop.far_depth - 0.6
        pixels = backdrop.pixels.reshape(-1, 3)
        self._surroundings = pixels[rng.integers(0, len(pixels), 24)]
        self._taken_depths: list[float] = []

    def labeled(self, track_id: int) -> Actor:
        """Draws an annotated person."""
        shares = [share for share, _ in _ROLES.values()]
        _, cast = _ROLES[str(self._rng.choice(list(_ROLES), p=shares))]
        return cast(self, track_id)

    def group(self) -> list[Actor]:
        """Draws unlabeled people who stand together far away."""
        rng = self._rng
        depth = min(self._depth(rng.uniform(0.2, 0.27)), self._far_depth)
        middle = self._image_size[1] * rng.uniform(0.15, 0.85)
        actors = []
        for _ in range(rng.integers(3, 7)):
            place_depth = min(depth * rng.uniform(0.9, 1.05), self._far_depth)
            column = middle + 0.085 * self._image_size[1] * rng.normal()
            position = (self._camera.world_x(column, place_depth), place_depth)
            path = paths.Standing(position, rng.uniform(0, 2 * math.pi), rng.uniform(-0.3, 0.3))
            actors.append(self._actor(None, path, "stand", self._arms(0.5)))
        return actors

    def _depth(self, size: float) -> float:
        pixels = size * self._image_size[0]
        return self._camera.depth_of_size(_USUAL_STATURE_METRES, pixels)

    def _place(self) -> tuple[float, float]:
        """Draws a position (x, z) inside the image, if possible at a depth where nobody else is."""
        low, high = np.log(self._person_sizes)
        for _ in range(12):
            size = math.exp(self._rng.uniform(low, high))
            depth = min(self._depth(size), self._far_depth - self._rng.uniform(0, 1.5))
            if all(abs(depth - taken) > 0.5 for taken in self._taken_depths):
                break
        self._taken_depths.append(depth)
        column = self._image_size[1] * self._rng.uniform(0.1, 0.9)
        return self._camera.world_x(column, depth), depth

    def _gait(self, brisk: float = 0.25) -> tuple[str, float]:
        if self._rng.random() < brisk:
            return "run", self._rng.uniform(2.2, 3.6)
        return "walk", self._rng.uniform(0.8, 1.7)

    def _arms(self, probability: float) -> str | None:
        if self._rng.random() >= probability:
            return None
        return str(self._rng.choice(list(motion.ARM_ACTIONS)))

    def _actor(self, track_id: int | None, path: paths.Path, legs: str, arms: str | None) -> Actor:
        rng = self._rng
        is_child = rng.random() < 0.12
        stature = rng.uniform(1.1, 1.4) if is_child else np.clip(rng.normal(1.72, 0.09), 1.5, 1.98)
        style = motion.Style(
            phase=rng.uniform(0, 2 * math.pi),
            vigor=rng.uniform(0.75, 1.2),
            cycles_per_second=rng.uniform(0.5, 1.3),
            active_side=int(rng.integers(2)),
            lean=rng.normal(0.03, 0.03),
            head_yaw=float(np.clip(rng.normal(0, 0.35), -0.9, 0.9)),
            arm_abduction=rng.uniform(0.05, 0.22),
            is_two_handed=bool(rng.random() < 0.3),
        )
        body = motion.Body(float(stature), float(np.clip(rng.normal(1, 0.03), 0.93, 1.07)))
        looks = sample_appearance(rng, self._surroundings)
        return Actor(track_id, body, looks, style, path, legs, arms)

    def _line(self, track_id: int, heading: float) -> Actor:
        """Returns a person who passes a place in the image within the usual length of a video."""
        legs, speed = self._gait()
        seconds = self._rng.uniform(0.0, _USUAL_SECONDS)
        x, z = self._place()
        run_up = speed * seconds
        start = (x - run_up * math.sin(heading), z + run_up * math.cos(heading))
        return self._actor(track_id, paths.Line(start, heading, speed), legs, self._arms(0.25))

    def cross(self, track_id: int) -> Actor:
        """Returns a person who crosses the image sideways."""
        side = self._rng.choice([-1, 1])
        return self._line(track_id, side * math.pi / 2 + self._rng.normal(0, 0.4))

    def approach(self, track_id: int) -> Actor:
        """Returns a person who comes toward the camera."""
        return self._line(track_id, self._rng.normal(0, 0.4))

    def recede(self, track_id: int) -> Actor:
        """Returns a person who goes away from the camera."""
        return self._line(track_id, math.pi + self._rng.normal(0, 0.4))

    def stand(self, track_id: int) -> Actor:
        """Returns a person who acts without leaving their place."""
        rng = self._rng
        legs = str(rng.choice(list(_STANDING), p=list(_STANDING.values())))
        is_frontal = legs == "sit" or rng.random() < 0.5
        heading = rng.uniform(-1.4, 1.4) if is_frontal else rng.uniform(0, 2 * math.pi)
        turn_rate = rng.normal(0, 0.9) if legs == "stand" and rng.random() < 0.35 else 0.0
        path = paths.Standing(self._place(), heading, turn_rate)
        return self._actor(track_id, path, legs, self._arms(0.75 if legs == "stand" else 0.0))

    def circle(self, track_id: int) -> Actor:
        """Returns a person who walks or runs in a circle."""
        legs, speed = self._gait(0.15)
        radius = self._rng.uniform(0.5, 1.0)
        start = self._rng.uniform(0, 6)
        is_mirrored = bool(self._rng.integers(2))
        path = paths.Loop(self._place(), 0.0, radius, speed, start, is_mirrored)
        return self._actor(track_id, path, legs, self._arms(0.3))

    def leave_and_return(self, track_id: int) -> Actor:
        """Returns a person who leaves the image, turns around outside and comes back."""
        rng = self._rng
        legs, speed = self._gait(0.4)
        _, depth = self._place()
        is_mirrored = bool(rng.integers(2))
        outward = -1.0 if is_mirrored else 1.0
        edge = self._camera.world_x(self._image_size[1] - 1 if outward > 0 else 0, depth)
        straight, radius, turning = 6.0, 0.35, rng.uniform(0.1, 0.7)
        center = (edge + outward * (turning - straight / 2), depth)
        start = straight - turning - rng.uniform(0.3, 0.9) * speed
        path = paths.Loop(center, straight, radius, speed, max(start, 0.0), is_mirrored)
        return self._actor(track_id, path, legs, self._arms(0.2))


# How labeled people move through the scene: share of the people, and the function that draws such a person.
_ROLES: dict[str, tuple[float, Callable[[_Casting, int], Actor]]] = {
    "cross": (0.32, _Casting.cross),
    "stand": (0.28, _Casting.stand),
    "approach": (0.10, _Casting.approach),
    "recede": (0.08, _Casting.recede),
    "circle": (0.08, _Casting.circle),
    "return": (0.14, _Casting.leave_and_return),
}
# Share of each action among the people who stay in their place.
_STANDING = {"stand": 0.62, "jumping_jack": 0.11, "squat": 0.08, "bend": 0.07, "sit": 0.12}


def _sample_props(
    rng: np.random.Generator,
    camera: Camera,
    image_size: tuple[int, int],
    is_indoors: bool,
    mean_number: float,
) -> list[Prop]:
    """Draws objects at the depths where people walk."""
    kinds = INDOOR_PROPS if is_indoors else OUTDOOR_PROPS
    low, high = np.log(_PROP_SIZES)
    props = []
    for _ in range(rng.poisson(mean_number)):
        size = math.exp(rng.uniform(low, high)) * image_size[0]
        depth = camera.depth_of_size(_USUAL_STATURE_METRES, size)
        foot = np.array([camera.world_x(rng.uniform(0, image_size[1]), depth), 0.0, depth])
        prop = build_prop(str(rng.choice(kinds)), camera, foot, image_size, int(rng.integers(2**31)))
        if prop is not None:
            props.append(prop)
    return props


def _build_seats(actors: list[Actor], camera: Camera, image_size: tuple[int, int]) -> list[Prop]:
    """Puts a stool under everybody who sits."""
    seats = []
    for actor in actors:
        if actor.legs != "sit":
            continue
        x, z = actor.path.follow(np.zeros(1)).positions[0]
        foot = np.array([x, 0.0, z + 0.12])
        seat = build_prop("stool", camera, foot, image_size, int(1000 * actor.style.phase))
        if seat is not None:
            seats.append(seat)
    return seats


def build_scene(seed: int, image_size: tuple[int, int], max_people: int, options: SceneOptions) -> Scene:
    """Draws a scene at random.

    Args:
        seed: Seed of the scene; equal arguments give equal scenes.
        image_size: (height, width) of the frames; sizes of people are relative to the height.
        max_people: Largest number of labeled people, at least 1.
        options: Contents of the scene.
    """
    rng = np.random.default_rng([seed, 0])
    height, width = image_size
    camera = _sample_camera(rng, image_size)
    margin = max(1, round(0.08 * width))
    place = options.place or str(rng.choice(PLACES, p=[0.3, 0.25, 0.15, 0.2, 0.1]))
    large = (height + 2 * margin, width + 2 * margin)
    large_camera = camera.shifted(-margin, -margin)
    backdrop = build_backdrop(place, large_camera, large, rng)
    light, sun = _sample_light(rng, backdrop.is_indoors)
    casting = _Casting(rng, camera, image_size, backdrop, options.person_sizes)
    num_people = min(max_people, 1 + int(rng.binomial(max(max_people - 1, 0), 0.5)))
    actors = [casting.labeled(track_id) for track_id in range(num_people)]
    if rng.random() < options.ignored_group_probability:
        actors += casting.group()
    props = _sample_props(rng, large_camera, large, backdrop.is_indoors, options.mean_props)
    props += _build_seats(actors, large_camera, large)
    is_moving = rng.random() < options.moving_camera_probability
    return Scene(
        image_size=image_size,
        margin=margin,
        camera=camera,
        backdrop=backdrop,
        light=light,
        sun=sun,
        props=tuple(props),
        actors=tuple(actors),
        sensor=_sample_sensor(rng, height),
        pan=_sample_pan(rng, margin, is_moving),
    )
