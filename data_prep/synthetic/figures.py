"""Draws a person from the points of a body, part by part from far to near."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from data_prep.synthetic import rendering
from data_prep.synthetic.appearance import (
    Appearance,
    paint_head,
    paint_top,
    paint_two_tone,
)
from data_prep.synthetic.camera import Camera
from data_prep.synthetic.motion import SIDES, Body

PARTS = (
    "torso",
    "neck",
    "head",
    "hair",
    "bag",
    "skirt",
    *(f"{side}_{part}" for part in ("upper_arm", "forearm", "hand", "thigh", "shin", "shoe") for side in SIDES),
)
_CODES_PER_PERSON = 32
# Added to the depths in meters by which body parts are sorted: the trunk hides the upper end of a leg in mid-stride,
# and the far leg hides the far arm.
_THIGH_OFFSET = 0.16
_FAR_ARM_OFFSET = 0.15
_OWN_SHADE = 0.45


def owner_code(person: int, part: str) -> int:
    """Returns the code of a body part in `Canvas.owners`; persons count from 0."""
    return (person + 1) * _CODES_PER_PERSON + PARTS.index(part)


def person_of_owners(owners: np.ndarray) -> np.ndarray:
    """Returns the person in each pixel; -1 for no person."""
    return owners // _CODES_PER_PERSON - 1


@dataclass(frozen=True)
class Figure:
    """One person at one moment.

    Attributes:
        world_points: Points [3] in meters by name, see `motion.build_skeleton`.
        speeds: Speeds of these points in meters per frame.
        heading: Heading of the trunk in radians; 0 faces the camera.
        head_heading: Heading of the head in radians.
        body: Lengths of the bones.
        looks: Looks of the person.
        shutter: Share of the time between frames during which the shutter is open.
    """

    world_points: dict[str, np.ndarray]
    speeds: dict[str, float]
    heading: float
    head_heading: float
    body: Body
    looks: Appearance
    shutter: float = 0.12


@dataclass(frozen=True)
class _Part:
    depth: float
    draw: Callable[[], None]


class _Artist:
    """Draws the parts of one figure on one canvas."""

    def __init__(
        self,
        canvas: rendering.Canvas,
        camera: Camera,
        light: rendering.Light,
        figure: Figure,
        person: int,
    ) -> None:
        self._canvas, self._light, self._figure, self._person = canvas, light, figure, person
        names = list(figure.world_points)
        world = np.stack([figure.world_points[name] for name in names])
        image, scale = camera.project(world)
        self._image = dict(zip(names, image, strict=True))
        self._scale = dict(zip(names, scale.tolist(), strict=True))
        self._depth = dict(zip(names, world[:, 2].tolist(), strict=True))
        # Off the optical axis the camera sees a body turned by the angle of the ray to it.
        middle = figure.world_points["hip_middle"]
        ray_angle = math.atan2(float(middle[0]), float(middle[2]))
        self._yaw, self._head_yaw = figure.heading + ray_angle, figure.head_heading + ray_angle
        self._stature, self._girth = figure.body.stature, figure.looks.girth

    def draw(self, parts: frozenset[str]) -> None:
        """Draws the named parts from far to near."""
        steps = [step for name, step in self._list_parts() if name in parts]
        for step in sorted(steps, key=lambda part: -part.depth):
            step.draw()

    def _list_parts(self) -> Iterator[tuple[str, _Part]]:
        for side in SIDES:
            yield from self._leg(side)
            yield from self._arm(side)
        yield "torso", self._torso()
        yield from self._head()
        if self._figure.looks.legwear in ("skirt", "long_skirt"):
            yield "skirt", self._skirt()
        if self._figure.looks.bag is not None:
            yield self._bag(self._figure.looks.bag)

    def _stroke(self, part: str, *points: str) -> rendering.Stroke:
        speed = max(self._figure.speeds[point] * self._scale[point] for point in points)
        softness = min(1 + self._figure.shutter * speed, 3.5)
        return rendering.Stroke(owner_code(self._person, part), softness)

    def _limb(
        self,
        part: str,
        ends: tuple[str, str],
        radii: tuple[float, float],
        paint: rendering.Paint,
        bulge: float = 0.0,
        depth_offset: float = 0.0,
    ) -> tuple[str, _Part]:
        """Draws a capsule between two points; radii and bulge are fractions of the stature."""
        start, end = ends
        first, second = (self._girth * self._stature * self._scale[point] for point in ends)
        capsule = rendering.Capsule(
            self._image[start],
            self._image[end],
            max(radii[0] * first, 0.5),
            max(radii[1] * second, 0.5),
            bulge * first,
        )
        depth = (self._depth[start] + self._depth[end]) / 2 + depth_offset
        draw = partial(
            rendering.draw_capsule,
            self._canvas,
            capsule,
            paint,
            self._light,
            self._stroke(part, start, end),
        )
        return part, _Part(depth, draw)

    def _far_side_light(self, joint: str, middle: str) -> float:
        """Brightness of a limb: on the far side it is in the shade of the body."""
        across = float(np.linalg.norm(self._figure.world_points[joint] - self._figure.world_points[middle]))
        behind = (self._depth[joint] - self._depth[middle]) / across
        return 1 - _OWN_SHADE * min(max(behind, 0.0), 1.0)

    def _leg(self, side: str) -> Iterator[tuple[str, _Part]]:
        looks = self._figure.looks
        hip, knee, ankle = (f"{side}_{name}" for name in ("hip", "knee", "ankle"))
        light = self._far_side_light(hip, "hip_middle")
        covered = {"trousers": 2.0, "shorts": 0.75}.get(looks.legwear, 0.1)
        cloth = 0.006 if covered > 1 else 0.0
        thigh = paint_two_tone(light * looks.bottom, light * looks.skin, covered)
        shin = paint_two_tone(light * looks.bottom, light * looks.skin, covered - 1)
        yield self._limb(f"{side}_thigh", (hip, knee), (0.051, 0.033 + cloth), thigh, 0.004, _THIGH_OFFSET)
        yield self._limb(f"{side}_shin", (knee, ankle), (0.032 + cloth, 0.020 + 1.5 * cloth), shin, 0.005, 0.02)
        shoe_ends = (f"{side}_heel", f"{side}_toe")
        yield self._limb(f"{side}_shoe", shoe_ends, (0.024, 0.020), light * looks.shoes, 0.002, 0.01)

    def _arm(self, side: str) -> Iterator[tuple[str, _Part]]:
        looks = self._figure.looks
        shoulder, elbow, wrist, fingers = (f"{side}_{name}" for name in ("shoulder", "elbow", "wrist", "fingers"))
        light = self._far_side_light(shoulder, "shoulder_middle")
        upper = paint_two_tone(light * looks.top, light * looks.skin, looks.sleeve)
        fore = paint_two_tone(light * looks.top, light * looks.skin, looks.sleeve - 1)
        cloth = 0.004 if looks.sleeve > 1 else 0.0
        behind = self._depth[shoulder] - self._depth["shoulder_middle"]
        offset = _FAR_ARM_OFFSET if behind > 0.05 * self._stature else 0.0
        yield self._limb(f"{side}_upper_arm", (shoulder, elbow), (0.033, 0.024 + cloth), upper, 0.002, offset)
        yield self._limb(f"{side}_forearm", (elbow, wrist), (0.024 + cloth, 0.017 + cloth), fore, 0.002, offset - 0.01)
        radii = (0.017, 0.015)
        yield self._limb(f"{side}_hand", (wrist, fingers), radii, light * looks.skin, 0.006, offset - 0.005)

    def _torso(self) -> _Part:
        top, bottom = "shoulder_middle", "hip_middle"
        yaw = self._yaw
        unit = self._girth * self._stature * (self._scale[top] + self._scale[bottom]) / 2
        places = np.array([-0.16, -0.1, 0.0, 0.12, 0.35, 0.65, 0.9, 1.1])
        wide = np.array([0.03, 0.048, 0.108, 0.122, 0.112, 0.092, 0.098, 0.09])
        deep = np.array([0.03, 0.04, 0.052, 0.066, 0.074, 0.062, 0.066, 0.06])
        half_widths = unit * np.hypot(wide * math.cos(yaw), deep * math.sin(yaw))
        trunk = rendering.Trunk(self._image[top], self._image[bottom], places, half_widths, yaw)
        return self._trunk("torso", trunk, paint_top(self._figure.looks), (top, bottom), 0.0)

    def _skirt(self) -> _Part:
        looks = self._figure.looks
        knees = (self._image["left_knee"] + self._image["right_knee"]) / 2
        spread = abs(self._image["left_knee"][0] - self._image["right_knee"][0]) / 2
        unit = self._girth * self._stature * self._scale["hip_middle"]
        end = 0.95 if looks.legwear == "skirt" else 1.35
        places = np.array([-0.1, 0.1, end])
        hem = max(0.095 * unit, end * spread + 0.05 * unit)
        half_widths = np.array([0.085 * unit, 0.1 * unit, hem])
        top = self._image["hip_middle"]
        trunk = rendering.Trunk(top, knees, places, half_widths, self._yaw)
        points = ("hip_middle", "hip_middle", "left_knee", "right_knee")
        return self._trunk("skirt", trunk, looks.bottom, points, -0.08)

    def _trunk(
        self,
        part: str,
        trunk: rendering.Trunk,
        paint: rendering.Paint,
        points: tuple[str, ...],
        depth_offset: float,
    ) -> _Part:
        depth = sum(self._depth[point] for point in points) / len(points) + depth_offset
        stroke = self._stroke(part, *points)
        draw = partial(rendering.draw_trunk, self._canvas, trunk, paint, self._light, stroke)
        return _Part(depth, draw)

    def _head(self) -> Iterator[tuple[str, _Part]]:
        looks = self._figure.looks
        yaw = self._head_yaw
        up = self._image["head_top"] - self._image["head_bottom"]
        unit = self._stature * self._scale["head_center"]
        half_width = unit * math.hypot(0.048 * math.cos(yaw), 0.060 * math.sin(yaw))
        ball = rendering.Ball(
            self._image["head_center"],
            up / max(float(np.hypot(*up)), 1e-6),
            half_width,
            0.069 * unit,
            yaw,
        )
        yield self._limb("neck", ("shoulder_middle", "head_center"), (0.03, 0.028), looks.skin, 0, 0.02)
        stroke = self._stroke("head", "head_center")
        draw = partial(rendering.draw_ball, self._canvas, ball, paint_head(looks), self._light, stroke)
        depth = self._depth["head_center"] - 0.03
        yield "head", _Part(depth, draw)
        nose_offset = depth - self._depth["nose"] - (0.02 if math.cos(yaw) > -0.2 else -0.02)
        yield self._limb("head", ("nose", "nose"), (0.010, 0.010), 0.93 * looks.skin, 0, nose_offset)
        yield from self._hair()

    def _hair(self) -> Iterator[tuple[str, _Part]]:
        looks = self._figure.looks
        if looks.hair_style == "long":
            yield self._limb("hair", ("head_back", "hair_end"), (0.045, 0.04), looks.hair)
        elif looks.hair_style == "bun":
            yield self._limb("hair", ("bun", "bun"), (0.025, 0.025), looks.hair)
        elif looks.hair_style == "cap":
            yield self._limb("hair", ("brim", "brim_end"), (0.020, 0.014), looks.trim, 0, -0.05)

    def _bag(self, color: np.ndarray) -> tuple[str, _Part]:
        return self._limb("bag", ("bag_top", "bag_bottom"), (0.07, 0.08), color)


def _with_accessories(figure: Figure) -> Figure:
    """Adds the points that hair, cap and backpack are attached to."""
    points, stature = dict(figure.world_points), figure.body.stature

    def ahead(heading: float, meters: float) -> np.ndarray:
        return meters * np.array([math.sin(heading), 0.0, -math.cos(heading)])

    def add(name: str, origin: str, offset: np.ndarray) -> None:
        points[name] = points[origin] + offset
        speeds[name] = speeds[origin]

    speeds = dict(figure.speeds)
    up = np.array([0.0, stature, 0.0])
    head, trunk = figure.head_heading, figure.heading
    add("hair_end", "head_bottom", ahead(head, -0.05 * stature) - 0.05 * up)
    add("bun", "head_top", ahead(head, -0.045 * stature) - 0.015 * up)
    add("brim", "head_center", ahead(head, 0.045 * stature) + 0.036 * up)
    add("brim_end", "head_center", ahead(head, 0.085 * stature) + 0.030 * up)
    add("bag_top", "shoulder_middle", ahead(trunk, -0.09 * stature) - 0.04 * up)
    middle = 0.5 * (points["hip_middle"] - points["shoulder_middle"])
    add("bag_bottom", "shoulder_middle", ahead(trunk, -0.1 * stature) + 1.2 * middle)
    return replace(figure, world_points=points, speeds=speeds)


def draw_person(
    canvas: rendering.Canvas,
    camera: Camera,
    light: rendering.Light,
    figure: Figure,
    person: int,
    parts: frozenset[str] = frozenset(PARTS),
) -> None:
    """Draws a figure and writes its codes into `Canvas.owners`.

    Args:
        canvas: Image to draw on.
        camera: Camera of the image.
        light: Light on the figure.
        figure: Person to draw.
        person: Number of the person, see `owner_code`.
        parts: Names in `PARTS` of the parts to draw.
    """
    _Artist(canvas, camera, light, _with_accessories(figure), person).draw(parts)
