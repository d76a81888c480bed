"""The motion of people: angles of the joints over time, and the points in space that follow from the angles.

Segment lengths are fractions of stature after Drillis and Contini (1966), as tabulated by Winter,
"Biomechanics and Motor Control of Human Movement" (2009), figure 4.1. The gait curves are smooth
stand-ins for the measured ones of the same book (chapter 4): the hip swings like a cosine, the knee
bends mostly while the leg swings, the foot rolls from heel to toe.

Body axes are (left, up, forward) in meters, with the origin on the ground below the pelvis. Arrays
of a pair of limbs are [2, T]: left, then right.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from data_prep.synthetic.paths import Course

SIDES = ("left", "right")
# Length of a step over leg length and the sine of the hip's swing: 2 for a stiff leg, a little more
# since the knee bends; at this value the standing foot is on average at rest.
_STEP_PER_SWING = 2.1
_SIDE_SIGN = np.array([[1.0], [-1.0]])


@dataclass(frozen=True)
class Body:
    """Bone lengths in meters.

    Attributes:
        stature: Standing height.
        leg_scale: Length of the legs relative to the usual length; the trunk makes up for the difference.
    """

    stature: float
    leg_scale: float = 1.0

    @property
    def thigh(self) -> float:
        """The length from hip to knee."""
        return 0.245 * self.leg_scale * self.stature

    @property
    def shin(self) -> float:
        """The length from knee to ankle."""
        return 0.246 * self.leg_scale * self.stature

    @property
    def torso(self) -> float:
        """The length from the middle of the hips to the middle of the shoulders."""
        return (0.779 - 0.491 * self.leg_scale) * self.stature

    def of_stature(self, fraction: float) -> float:
        """Returns a length that is given as a fraction of the stature."""
        return fraction * self.stature


@dataclass(frozen=True)
class Style:
    """The personal way in which somebody moves.

    Attributes:
        phase: Phase of all cycles in radians.
        vigor: Factor on the swing of legs and arms; 1 is usual.
        cycles_per_second: Frequency of gestures.
        active_side: Arm that acts: 0 is the left one, 1 the right one.
        lean: Angle in radians by which the trunk leans forward.
        head_yaw: Angle in radians by which the head is turned to the left of the trunk.
        arm_abduction: Angle in radians between a hanging arm and the trunk.
        is_two_handed: Whether both arms act.
    """

    phase: float = 0.0
    vigor: float = 1.0
    cycles_per_second: float = 1.0
    active_side: int = 0
    lean: float = 0.03
    head_yaw: float = 0.0
    arm_abduction: float = 0.1
    is_two_handed: bool = False


@dataclass(frozen=True)
class JointAngles:
    """Angles of the joints in radians over T times; all zero is standing upright with hanging arms.

    Attributes:
        shoulder_flexion: [2, T] angles by which the arms are raised forward.
        shoulder_abduction: [2, T] angles by which the arms are raised sideways.
        elbow_flexion: [2, T] angles by which the elbows are bent.
        elbow_swivel: [2, T] angles that turn the planes of the elbows: 0 bends the forearm forward, pi/2 outward
            (upward for an arm held out), -pi/2 inward.
        hip_flexion: [2, T] angles by which the thighs are raised forward.
        hip_abduction: [2, T] angles by which the thighs are raised sideways.
        knee_flexion: [2, T] angles by which the knees are bent.
        foot_pitch: [2, T] angles between the feet and the ground, positive with the toes down.
        lean: [T] angles by which the trunk leans forward.
        shoulder_twist: [T] angles by which the shoulders are turned to the left of the pelvis.
        head_yaw: [T] angles by which the head is turned to the left of the shoulders.
        head_pitch: [T] angles by which the head nods forward.
        lift: [T] heights in meters of the lower foot above the ground.
    """

    shoulder_flexion: np.ndarray
    shoulder_abduction: np.ndarray
    elbow_flexion: np.ndarray
    elbow_swivel: np.ndarray
    hip_flexion: np.ndarray
    hip_abduction: np.ndarray
    knee_flexion: np.ndarray
    foot_pitch: np.ndarray
    lean: np.ndarray
    shoulder_twist: np.ndarray
    head_yaw: np.ndarray
    head_pitch: np.ndarray
    lift: np.ndarray


LegAction = Callable[[Body, Style, np.ndarray, np.ndarray], JointAngles]
ArmAction = Callable[[JointAngles, Style, np.ndarray], JointAngles]


def _bump(phase: np.ndarray, center: float, sharpness: float) -> np.ndarray:
    """Returns a periodic bump of height 1 at `center`, narrower with growing sharpness."""
    return ((1 + np.cos(phase - center)) / 2) ** sharpness


def _leg_swing(phase: np.ndarray) -> np.ndarray:
    """Returns the hip swing from -1 to 1 (foremost): a rounded triangle, so that a standing foot goes back evenly."""
    sharpness = 0.98
    return np.arcsin(sharpness * np.cos(phase)) / math.asin(sharpness)


def stand(body: Body, style: Style, seconds: np.ndarray, distances: np.ndarray) -> JointAngles:
    """Stands at ease, swaying a little."""
    del body, distances
    sway = np.sin(2 * math.pi * 0.3 * seconds + style.phase)
    pair = np.zeros((2, len(seconds)))
    return JointAngles(
        shoulder_flexion=pair + 0.04 * sway,
        shoulder_abduction=pair + style.arm_abduction,
        elbow_flexion=pair + 0.2,
        elbow_swivel=pair,
        hip_flexion=pair + 0.03,
        hip_abduction=pair + 0.05 + 0.5 * style.arm_abduction,
        knee_flexion=pair + 0.06,
        foot_pitch=pair,
        lean=style.lean + 0.02 * sway,
        shoulder_twist=0.06 * sway,
        head_yaw=style.head_yaw + 0.15 * sway,
        head_pitch=0.05 * sway,
        lift=np.zeros_like(seconds),
    )


def _stride_phase(distances: np.ndarray, style: Style, step_meters: float) -> np.ndarray:
    """Phases [2, T] of both legs; at 0 the foot is foremost, and a period takes two steps."""
    phase = style.phase + math.pi * distances / step_meters
    return np.stack([phase, phase + math.pi])


def walk(body: Body, style: Style, seconds: np.ndarray, distances: np.ndarray) -> JointAngles:
    """Walks; the steps follow the covered distance, so that the standing foot does not slide."""
    swing = 0.40 * style.vigor
    phase = _stride_phase(distances, style, _STEP_PER_SWING * (body.thigh + body.shin) * math.sin(swing))
    still = stand(body, style, seconds, distances)
    arm = -np.cos(phase)
    return replace(
        still,
        shoulder_flexion=0.45 * style.vigor * arm,
        elbow_flexion=0.35 + 0.2 * arm,
        hip_flexion=0.08 + swing * _leg_swing(phase),
        hip_abduction=np.full_like(phase, 0.01),
        knee_flexion=0.08 + 0.14 * _bump(phase, 0.45, 3) + 1.0 * _bump(phase, 1.42 * math.pi, 3),
        foot_pitch=0.75 * _bump(phase, 1.1 * math.pi, 4) - 0.3 * _bump(phase, 1.95 * math.pi, 5),
        shoulder_twist=0.12 * style.vigor * np.cos(phase[0]),
    )


def run(body: Body, style: Style, seconds: np.ndarray, distances: np.ndarray) -> JointAngles:
    """Runs: long steps, high heels, bent elbows and a moment in the air after each push."""
    swing = 0.62 * style.vigor
    step = 2.6 * (body.thigh + body.shin) * math.sin(swing)
    phase = _stride_phase(distances, style, step)
    still = stand(body, style, seconds, distances)
    arm = -np.cos(phase)
    return replace(
        still,
        shoulder_flexion=-0.1 + 0.65 * style.vigor * arm,
        elbow_flexion=1.5 + 0.25 * arm,
        elbow_swivel=np.full_like(phase, -0.25),
        hip_flexion=0.25 + swing * np.cos(phase),
        hip_abduction=np.full_like(phase, 0.01),
        knee_flexion=0.3 + 1.6 * _bump(phase, 1.4 * math.pi, 2),
        foot_pitch=0.9 * _bump(phase, 1.25 * math.pi, 2) - 0.15,
        lean=still.lean + 0.14,
        shoulder_twist=0.2 * np.cos(phase[0]),
        lift=0.05 * body.stature * _bump(2 * phase[0], -0.6, 1.5),
    )


def jumping_jack(body: Body, style: Style, seconds: np.ndarray, distances: np.ndarray) -> JointAngles:
    """Jumps with legs and arms opening and closing."""
    still = stand(body, style, seconds, distances)
    opening = (1 - np.cos(2 * math.pi * style.cycles_per_second * seconds + style.phase)) / 2
    pair = np.stack([opening, opening])
    return replace(
        still,
        shoulder_abduction=0.2 + 2.45 * pair,
        elbow_flexion=0.15 + 0.3 * (1 - pair),
        elbow_swivel=np.full_like(pair, math.pi / 2),
        hip_abduction=0.04 + 0.36 * pair,
        knee_flexion=0.1 + 0.2 * (1 - pair),
        hip_flexion=0.05 + 0.1 * (1 - pair),
        lift=0.04 * body.stature * np.sin(math.pi * opening) ** 2,
    )


def squat(body: Body, style: Style, seconds: np.ndarray, distances: np.ndarray) -> JointAngles:
    """Goes down and up with the arms held forward."""
    still = stand(body, style, seconds, distances)
    cycle = math.pi * style.cycles_per_second * seconds + style.phase
    depth = (1 - np.cos(cycle)) / 2 * min(style.vigor, 1.1)
    pair = np.stack([depth, depth])
    return replace(
        still,
        shoulder_flexion=0.1 + 1.4 * pair,
        hip_flexion=0.05 + 1.45 * pair,
        knee_flexion=0.08 + 1.75 * pair,
        hip_abduction=0.1 + 0.12 * pair,
        lean=0.05 + 0.5 * depth,
        head_pitch=-0.3 * depth,
    )


def sit(body: Body, style: Style, seconds: np.ndarray, distances: np.ndarray) -> JointAngles:
    """Sits on a seat as high as the knees, forearms on the thighs."""
    still = stand(body, style, seconds, distances)
    pair = np.zeros((2, len(seconds)))
    return replace(
        still,
        shoulder_flexion=pair + 0.45 + style.lean,
        elbow_flexion=pair + 1.0,
        elbow_swivel=pair - 0.25,
        hip_flexion=pair + 1.45,
        hip_abduction=pair + 0.5 * style.arm_abduction,
        knee_flexion=pair + 1.4,
    )


def bend(body: Body, style: Style, seconds: np.ndarray, distances: np.ndarray) -> JointAngles:
    """Bows to reach for the ground and comes up again."""
    still = stand(body, style, seconds, distances)
    cycle = math.pi * style.cycles_per_second * seconds + style.phase
    depth = (1 - np.cos(cycle)) / 2
    pair = np.stack([depth, depth])
    return replace(
        still,
        shoulder_flexion=0.1 + 1.0 * pair,
        hip_flexion=0.05 + 0.45 * pair,
        knee_flexion=0.08 + 0.7 * pair,
        lean=0.05 + 0.9 * depth,
        head_pitch=0.2 * depth,
    )


LEG_ACTIONS: dict[str, LegAction] = {
    "stand": stand,
    "walk": walk,
    "run": run,
    "jumping_jack": jumping_jack,
    "squat": squat,
    "sit": sit,
    "bend": bend,
}


def _with_arms(angles: JointAngles, style: Style, **values: float | np.ndarray) -> JointAngles:
    """Sets angles of the acting arm, or of both for a two-handed person."""
    acting = [0, 1] if style.is_two_handed else [style.active_side]
    changed = {}
    for name, value in values.items():
        changed[name] = np.array(getattr(angles, name))
        changed[name][acting] = value
    return replace(angles, **changed)


def wave(angles: JointAngles, style: Style, seconds: np.ndarray) -> JointAngles:
    """Raises an arm whose forearm swings from side to side."""
    swing = np.sin(2 * math.pi * style.cycles_per_second * seconds + style.phase)
    return _with_arms(
        angles,
        style,
        shoulder_flexion=0.25,
        shoulder_abduction=1.45 + 0.15 * swing,
        elbow_flexion=1.15 + 0.5 * swing,
        elbow_swivel=math.pi / 2,
    )


def telephone(angles: JointAngles, style: Style, seconds: np.ndarray) -> JointAngles:
    """Holds a hand to the ear."""
    del seconds
    style = replace(style, is_two_handed=False)
    return _with_arms(
        angles,
        style,
        shoulder_flexion=0.55,
        shoulder_abduction=0.45,
        elbow_flexion=2.3,
        elbow_swivel=0.1,
    )


def gesture(angles: JointAngles, style: Style, seconds: np.ndarray) -> JointAngles:
    """Talks with the hands in front of the trunk."""
    swing = np.sin(2 * math.pi * style.cycles_per_second * seconds + style.phase)
    return _with_arms(
        angles,
        style,
        shoulder_flexion=0.4 + 0.25 * swing,
        shoulder_abduction=0.25,
        elbow_flexion=1.35 + 0.45 * np.cos(4 * seconds + style.phase),
        elbow_swivel=-0.3,
    )


def hands_on_hips(angles: JointAngles, style: Style, seconds: np.ndarray) -> JointAngles:
    """Elbows out, hands on the hips."""
    del seconds
    return _with_arms(
        angles,
        style,
        shoulder_flexion=-0.2,
        shoulder_abduction=0.85,
        elbow_flexion=1.55,
        elbow_swivel=-math.pi / 2 + 0.5,
    )


def reach_up(angles: JointAngles, style: Style, seconds: np.ndarray) -> JointAngles:
    """Raises an arm above the head and lowers it."""
    cycle = math.pi * style.cycles_per_second * seconds + style.phase
    height = (1 - np.cos(cycle)) / 2
    return _with_arms(
        angles,
        style,
        shoulder_flexion=0.5 + 2.4 * height,
        shoulder_abduction=0.12,
        elbow_flexion=0.3,
        elbow_swivel=0.0,
    )


def point_sideways(angles: JointAngles, style: Style, seconds: np.ndarray) -> JointAngles:
    """Holds an arm out to the side."""
    swing = np.sin(2 * math.pi * 0.5 * style.cycles_per_second * seconds + style.phase)
    return _with_arms(
        angles,
        style,
        shoulder_flexion=0.15,
        shoulder_abduction=1.35 + 0.25 * swing,
        elbow_flexion=0.2,
        elbow_swivel=0.0,
    )


def carry(angles: JointAngles, style: Style, seconds: np.ndarray) -> JointAngles:
    """Forearms held forward, as with a box or a tray."""
    del seconds
    return _with_arms(
        angles,
        style,
        shoulder_flexion=0.15,
        shoulder_abduction=0.12,
        elbow_flexion=1.45,
        elbow_swivel=-0.15,
    )


ARM_ACTIONS: dict[str, ArmAction] = {
    "wave": wave,
    "telephone": telephone,
    "gesture": gesture,
    "hands_on_hips": hands_on_hips,
    "reach_up": reach_up,
    "point_sideways": point_sideways,
    "carry": carry,
}


def _vector(left: np.ndarray, up: np.ndarray, forward: np.ndarray | float) -> np.ndarray:
    """Vectors [.., 3] from their components, which are broadcast."""
    vectors = np.empty((*np.broadcast_shapes(*map(np.shape, (left, up, forward))), 3))
    for axis, values in enumerate((left, up, forward)):
        vectors[..., axis] = values
    return vectors


def _rotate(vectors: np.ndarray, lean: np.ndarray, twist: np.ndarray) -> np.ndarray:
    """Tilts vectors [.., T, 3] forward, then turns them to the left."""
    left, up, forward = (vectors[..., axis] for axis in range(3))
    sine, cosine = np.sin(lean), np.cos(lean)
    up, forward = up * cosine - forward * sine, up * sine + forward * cosine
    sine, cosine = np.sin(twist), np.cos(twist)
    return _vector(left * cosine + forward * sine, up, forward * cosine - left * sine)


def _hanging(flexion: np.ndarray, abduction: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Axes of a limb that hangs down when both angles are zero.

    Returns:
        Three orthonormal directions [2, T, 3]: along the limb, its motion when flexed, its motion when abducted.
    """
    sin_flexion, cos_flexion = np.sin(flexion), np.cos(flexion)
    sin_abduction, cos_abduction = np.sin(abduction), np.cos(abduction)
    direction = _vector(_SIDE_SIGN * sin_abduction, -cos_abduction * cos_flexion, cos_abduction * sin_flexion)
    flexed = _vector(np.zeros_like(flexion), sin_flexion, cos_flexion)
    abducted = _vector(_SIDE_SIGN * cos_abduction, sin_abduction * cos_flexion, -sin_abduction * sin_flexion)
    return direction, flexed, abducted


def _build_legs(body: Body, angles: JointAngles) -> dict[str, np.ndarray]:
    """Points [2, T, 3] of the legs below hips at height 0."""
    direction, flexed, _ = _hanging(angles.hip_flexion, angles.hip_abduction)
    hip = _vector(_SIDE_SIGN * body.of_stature(0.052), 0.0 * angles.hip_flexion, 0.0)
    knee = hip + body.thigh * direction
    bending = angles.knee_flexion[..., None]
    ankle = knee + body.shin * (np.cos(bending) * direction - np.sin(bending) * flexed)
    outward = _SIDE_SIGN * 0.15
    zero = np.zeros_like(angles.foot_pitch)

    def foot_point(down: float, forward: float) -> np.ndarray:
        local = _vector(outward * forward, zero - down, zero + forward) * body.stature
        return ankle + _rotate(local, angles.foot_pitch, zero)

    return {
        "hip": hip,
        "knee": knee,
        "ankle": ankle,
        "heel": foot_point(0.036, -0.025),
        "toe": foot_point(0.036, 0.095),
    }


def _build_arms(body: Body, angles: JointAngles) -> dict[str, np.ndarray]:
    """Points [2, T, 3] of the arms of an upright trunk, from the middle of the shoulders."""
    direction, flexed, abducted = _hanging(angles.shoulder_flexion, angles.shoulder_abduction)
    swivel, bending = angles.elbow_swivel[..., None], angles.elbow_flexion[..., None]
    bent = np.cos(swivel) * flexed + np.sin(swivel) * abducted
    shoulder = _vector(_SIDE_SIGN * body.of_stature(0.108), 0.0 * angles.shoulder_flexion, 0.0)
    elbow = shoulder + body.of_stature(0.180) * direction
    forearm = np.cos(bending) * direction + np.sin(bending) * bent
    wrist = elbow + body.of_stature(0.146) * forearm
    return {
        "shoulder": shoulder,
        "elbow": elbow,
        "wrist": wrist,
        "fingers": wrist + body.of_stature(0.075) * forearm,
    }


def _build_head(body: Body, angles: JointAngles) -> dict[str, np.ndarray]:
    """Points [T, 3] of neck and head, from the middle of the shoulders."""
    pitch = 0.6 * angles.lean + angles.head_pitch
    zero = np.zeros_like(pitch)

    def head_point(up: float, forward: float) -> np.ndarray:
        local = _vector(zero, zero + up, zero + forward) * body.stature
        return _rotate(local, pitch, angles.head_yaw + angles.shoulder_twist)

    return {
        "head_bottom": head_point(0.052, 0.008),
        "head_center": head_point(0.116, 0.012),
        "head_top": head_point(0.184, 0.008),
        "nose": head_point(0.108, 0.074),
        "head_back": head_point(0.110, -0.035),
    }


def build_skeleton(body: Body, angles: JointAngles) -> dict[str, np.ndarray]:
    """Computes the points of a body from its angles; the lower foot is `lift` above the ground.

    Args:
        body: Lengths of the bones.
        angles: Angles of the joints.

    Returns:
        Points [T, 3] in body axes by name: the joints of PoseTrack, and hip_middle,
        shoulder_middle, head_center, head_back, and for each side heel, toe and fingers.
    """
    points = {}
    for name, pair in _build_legs(body, angles).items():
        for side, value in zip(SIDES, pair, strict=True):
            points[f"{side}_{name}"] = value
    feet = [points[f"{side}_{name}"][:, 1] for side in SIDES for name in ("heel", "toe")]
    pelvis_height = angles.lift - np.min(feet, axis=0)
    zero = np.zeros_like(pelvis_height)
    trunk = _rotate(_vector(zero, zero + body.torso, zero), angles.lean, zero)
    points["hip_middle"], points["shoulder_middle"] = np.zeros_like(trunk), trunk
    for name, pair in _build_arms(body, angles).items():
        placed = trunk + _rotate(pair, angles.lean, angles.shoulder_twist)
        for side, value in zip(SIDES, placed, strict=True):
            points[f"{side}_{name}"] = value
    for name, value in _build_head(body, angles).items():
        points[name] = trunk + value
    raised = _vector(zero, pelvis_height, zero)
    return {name: value + raised for name, value in points.items()}


def place_in_world(points: dict[str, np.ndarray], course: Course) -> dict[str, np.ndarray]:
    """Moves points [T, 3] from body axes to world axes (x right, y up, z away from the camera)."""
    sine, cosine = np.sin(course.headings), np.cos(course.headings)
    left, up, forward = np.moveaxis(np.stack(list(points.values())), -1, 0)
    x = course.positions[:, 0] + left * cosine + forward * sine
    z = course.positions[:, 1] + left * sine - forward * cosine
    return dict(zip(points, np.stack([x, up, z], axis=-1), strict=True))
