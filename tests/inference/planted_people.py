"""Networks that find planted people: their maps are known, so every result can be told beforehand."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tfpose.frame_fit import FrameFit

FIT = FrameFit((128, 256))  # heatmaps of 32 x 64 cells
NUM_JOINTS = 3


class PlantedPeople:
    """Both networks for people given as (frame, head cell, head score, joint cells, joint scores).

    The head map holds single cells. `person_features` name the person in whose neighborhood a cell is, and the person
    network looks there, where the masked head map is highest.
    """

    def __init__(self, people: list[tuple], num_frames: int) -> None:
        height, width = FIT.heatmap_size
        self.head_maps = np.zeros((num_frames, height, width, 1), np.float32)
        self.features = np.zeros((num_frames, height, width, 1), np.float32)
        self.person_maps = np.zeros((len(people), height, width, NUM_JOINTS), np.float32)
        for index, (frame, head, head_score, joints, joint_scores) in enumerate(people):
            self.head_maps[frame, head[1], head[0], 0] = head_score
            self.features[frame, head[1], head[0], 0] = index
            for joint, ((x, y), score) in enumerate(zip(joints, joint_scores, strict=True)):
                self.person_maps[index, y, x, joint] = score
        self.chunks = []

    def frame(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        frames = tf.range(tf.shape(images)[0])
        joint_maps = tf.ones((tf.shape(images)[0], *FIT.heatmap_size, NUM_JOINTS))
        return {
            "head_maps": tf.gather(self.head_maps, frames),
            "joint_maps": tf.ensure_shape(joint_maps, [None, None, None, NUM_JOINTS]),
            "person_features": tf.gather(self.features, frames),
        }

    def person(self, features: tf.Tensor, masked_heads: tf.Tensor, joint_maps: tf.Tensor) -> tf.Tensor:
        if tf.executing_eagerly():
            self.chunks.append(len(features))
        cells = tf.reshape(masked_heads, [tf.shape(masked_heads)[0], -1])
        person = tf.gather(tf.reshape(features, tf.shape(cells)), tf.argmax(cells, axis=1), batch_dims=1)
        return joint_maps * tf.gather(self.person_maps, tf.cast(person, tf.int32))


def grid_people(count: int, frame: int = 0) -> list[tuple]:
    """People whose heads are three cells apart, with joints at places of their own, the first ones strongest."""
    people = []
    for index in range(count):
        head = (3 * (index % 20) + 2, 3 * (index // 20) + 1)
        joints = [((7 * index + 11 * joint) % 64, (5 * index + 3 * joint) % 32) for joint in range(NUM_JOINTS)]
        scores = [0.4 + 0.5 * ((index * 13 + joint) % 97) / 97 for joint in range(NUM_JOINTS)]
        people.append((frame, head, 0.9 - index / 1000, joints, scores))
    return people
