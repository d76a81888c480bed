"""Names and orders of the joints in the official evaluators' results."""

from __future__ import annotations

from tfpose.posetrack.sequences import JOINTS_BY_NUMBER
from tfpose.skeletons import POSETRACK18

# What published tables call the joint at the lower end of the head.
PUBLISHED_NAMES = {"head_bottom": "neck"}
# The order of poseval's results.
JOINTS = tuple(PUBLISHED_NAMES.get(joint, joint) for joint in JOINTS_BY_NUMBER)
# The order of PoseTrack21's results: that of its files, without the ears.
JOINTS21 = tuple(JOINTS[JOINTS_BY_NUMBER.index(joint)] for joint in POSETRACK18.joints if joint in JOINTS_BY_NUMBER)
NUM_JOINTS = len(JOINTS)
# Position of each joint of `JOINTS21` in `JOINTS`.
JOINTS21_IN_JOINTS = [JOINTS.index(joint) for joint in JOINTS21]
