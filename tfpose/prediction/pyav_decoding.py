"""Decodes videos with PyAV."""

from __future__ import annotations

import contextlib
import heapq
import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np

from tfpose.file_names import utf8_name
from tfpose.prediction.decoding import (
    MOST_FAILURES,
    NUM_TIMED_FRAMES,
    SHARE_OF_PROMISED_FRAMES,
    DecodedFrame,
    MissingFrames,
    VideoFacts,
    absolute,
    cannot_open,
    ends_before,
    ends_early,
    has_no_frame,
    plausible_rate,
)
from tfpose.prediction.frame_span import FrameSpan
from tfpose.video_encoders import find_pyav

# A server that is silent for so long is gone.
_TIMEOUT_SECONDS = 30
# Frames are stored in another order than they are shown in; at most this many are still to come.
_MOST_REORDERED = 16
# Number of frames that wait, behind damage, for earlier ones.
_MOST_HELD = 4


class PyavDecoder:
    """Decodes a video with PyAV, which tells the time of each frame and goes on behind damage.

    Attributes:
        facts: What the header and the first frames tell.
    """

    def __init__(self, address: str) -> None:
        """Reads the header and decodes the first frame.

        Args:
            address: Path or URL.

        Raises:
            ValueError: It cannot be opened, or has no frame that can be decoded.
        """
        self._address, self._av = address, find_pyav()
        with self._open() as container:
            self.facts = self._read_facts(container)

    def _open(self) -> Any:
        timeout = _TIMEOUT_SECONDS if "://" in self._address else None
        try:
            with utf8_name(absolute(self._address)) as name:
                container = self._av.open(name, timeout=timeout)
        except (self._av.FFmpegError, OSError, ValueError) as error:
            raise cannot_open(self._address) from error
        # Sound may have a picture of its cover.
        if all(stream.disposition & stream.disposition.attached_pic for stream in container.streams.video):
            container.close()
            raise ValueError(f"{self._address}: must be a video, got a file without pictures")
        return container

    def _read_facts(self, container: Any) -> VideoFacts:
        stream = container.streams.best("video")
        times: list[float] = []
        has_frame = False
        for packet in self._packets(container):
            if packet.stream_index != stream.index:
                continue
            if packet.size and packet.pts is not None and not packet.is_discard:
                times.append(float(packet.pts * packet.time_base))
            has_frame = has_frame or bool(self._decode(packet))
            if has_frame and len(times) >= NUM_TIMED_FRAMES + _MOST_REORDERED:
                break
        else:
            times += [math.inf] * _MOST_REORDERED
        if not has_frame:
            raise has_no_frame(self._address)
        stated = float(stream.guessed_rate or stream.average_rate or 0)
        rate = plausible_rate(stated, sorted(times)[:-_MOST_REORDERED])
        ratio = stream.sample_aspect_ratio or Fraction(1)
        shape = (ratio.numerator, ratio.denominator)
        if stream.frames:
            return VideoFacts(rate, stream.frames, is_exact=True, pixel_shape=shape)
        return VideoFacts(rate, round(_duration(container) * rate) or None, is_exact=False, pixel_shape=shape)

    def _packets(self, container: Any) -> Iterator[Any]:
        """Yields the packets of all streams; goes on behind what cannot be read."""
        failures, packets = 0, container.demux()
        while failures < MOST_FAILURES:
            try:
                packet = next(packets, None)
            except self._av.FFmpegError:
                failures, packets = failures + 1, container.demux()
                continue
            if packet is None:
                return
            failures = 0
            yield packet

    def _decode(self, packet: Any) -> list[Any] | None:
        """Returns the frames that come out of the decoder; None if it fails."""
        try:
            return packet.decode()
        except self._av.FFmpegError:
            return None

    def frames(self, span: FrameSpan, problems: list[str]) -> Iterator[DecodedFrame]:
        """Yields the decoded frames, see `Decoder`."""
        missing, order = MissingFrames(self._address), _FrameOrder()
        with self._open() as container:
            try:
                yield from self._selected_frames(container, span, order, missing)
                problems += self._ends_early(container, order)
            except _SpanIsOver:
                pass
            finally:
                problems += missing.describe()

    def _selected_frames(
        self, container: Any, span: FrameSpan, order: _FrameOrder, missing: MissingFrames
    ) -> Iterator[DecodedFrame]:
        # One for all frames: each frame would make its own, which takes a third of the time of decoding.
        reformatter = self._av.video.reformatter.VideoReformatter()
        is_mirrored: bool | None = None
        for frame in _in_order(self._decoded_frames(container, order), order):
            num_missing = order.add_frame(frame.pts)
            missing.add(order.index - num_missing, num_missing)
            if span.is_over(order.index):
                raise _SpanIsOver
            # A frame that was asked stays in memory until Python looks for cycles of objects.
            if is_mirrored is None or frame.key_frame:
                is_mirrored = _is_mirrored(frame)
            if order.index in span:
                converted = reformatter.reformat(frame, format="rgb24")
                image = converted.to_ndarray()
                # Pixels that need no conversion are the decoder's own, on which its later frames may build.
                image = image.copy() if converted is frame else image
                yield self._finish(frame, image[::-1] if is_mirrored else image, order)
        missing.add(order.index + 1, order.num_missing_at_the_end())

    def _decoded_frames(self, container: Any, order: _FrameOrder) -> Iterator[Any]:
        stream = container.streams.best("video")
        stream.thread_type = "AUTO"
        for packet in self._packets(container):
            order.note_end(packet)
            if packet.stream_index != stream.index:
                continue
            order.add_packet(packet)
            decoded = self._decode(packet)
            if decoded is None:
                order.note_failure()
            yield from decoded or ()
        # A file that is cut ends with an error, and without the packet that empties the decoder.
        with contextlib.suppress(self._av.FFmpegError):
            for frame in stream.decode(None):
                frame.time_base = stream.time_base
                yield frame

    def _finish(self, frame: Any, image: np.ndarray, order: _FrameOrder) -> DecodedFrame:
        image = np.ascontiguousarray(np.rot90(image, round(frame.rotation / 90)))
        if frame.pts is None:
            seconds = order.index / self.facts.frames_per_second
            return DecodedFrame(order.index, seconds, seconds, image)
        seconds = float((frame.pts - order.first_time) * frame.time_base)
        return DecodedFrame(order.index, seconds, float(frame.pts * frame.time_base), image)

    def _ends_early(self, container: Any, order: _FrameOrder) -> list[str]:
        end, start = float(order.end_seconds), (container.start_time or 0) / self._av.time_base
        if self.facts.is_exact:
            promised, rate = self.facts.num_frames or 0, float(container.streams.best("video").average_rate or 0)
            # An AVI file counts frames that repeat the one before, and holds none for them.
            num_shown = max(order.num_packets, (end - start) * rate)
            # An MP4 file that a phone has trimmed counts the frames that it hides.
            is_trimmed = "mp4" in container.format.name and _duration(container) * rate < promised
            most = _duration(container) * rate if is_trimmed else promised
            is_cut = num_shown < SHARE_OF_PROMISED_FRAMES * most
            return [ends_early(self._address, order.index + 1, promised)] if is_cut else []
        # Parts of a recording begin late, and the durations of most formats count from 0.
        return ends_before(self._address, end - min(start, 0), _duration(container))


class _SpanIsOver(Exception):
    """No later frame is selected."""


def _duration(container: Any) -> float:
    """Returns the length in seconds that the header states; 0 if there is none."""
    return (container.duration or 0) / 1_000_000


def _is_mirrored(frame: Any) -> bool:
    """Returns whether a player turns the frame upside down before its rotation, as with videos of front cameras."""
    stored = frame.side_data.get("DISPLAYMATRIX")
    if stored is None:
        return False
    # The matrix mirrors if its determinant is negative.
    (a, b, _), (c, d, _), _ = np.frombuffer(stored, np.int32).reshape(3, 3).astype(float)
    return bool(a * d < b * c)


def _in_order(frames: Iterator[Any], order: _FrameOrder) -> Iterator[Any]:
    """Sorts frames by time: behind damage, a decoder lets some out too late."""
    held: list[tuple[int, int, Any]] = []
    latest = None
    for number, frame in enumerate(frames):
        if frame.pts is None:
            yield frame
            continue
        # Times that start again are those of another recording, behind which nothing is held back.
        is_restart = latest is not None and frame.pts < latest
        while held and is_restart:
            yield heapq.heappop(held)[2]
        heapq.heappush(held, (frame.pts, number, frame))
        while len(held) > (_MOST_HELD if order.has_failed and not is_restart else 0):
            latest, _, frame = heapq.heappop(held)
            yield frame
    while held:
        yield heapq.heappop(held)[2]


class _FrameOrder:
    """Numbers frames by the times of their packets, so that those behind damage keep their numbers.

    Attributes:
        index: Number of the frame that was added last.
        first_time: Time of the first frame, on the clock of the stream; moved where the clock starts again.
        num_packets: Number of packets of the stream.
        end_seconds: End of the last packet of any stream.
        has_failed: Whether the decoder has failed.
    """

    def __init__(self) -> None:
        self.index = -1
        self.first_time: int | None = None
        self.num_packets = 0
        self.end_seconds = Fraction(0)
        self.has_failed = False
        # Times of packets of which no frame has come out yet.
        self._waiting: list[int] = []
        self._latest = self._failed_until = -(1 << 62)
        self._time: int | None = None
        self._step = 0

    def note_end(self, packet: Any) -> None:
        """Notes until when the packet lasts."""
        if packet.size and packet.pts is not None:
            self.end_seconds = max(self.end_seconds, (packet.pts + (packet.duration or 0)) * packet.time_base)

    def add_packet(self, packet: Any) -> None:
        """Adds a packet of the stream before it is decoded."""
        self.num_packets += packet.size > 0
        if packet.size and packet.pts is not None and not packet.is_discard:
            heapq.heappush(self._waiting, packet.pts)
            self._latest = max(self._latest, packet.pts)

    def note_failure(self) -> None:
        """Notes that the decoder failed, at one of the packets until now."""
        self.has_failed = True
        self._failed_until = self._latest

    def add_frame(self, time: int | None) -> int:
        """Adds a frame that was decoded; returns how many frames before it are missing."""
        num_missing = 0
        while time is not None and self._waiting and self._waiting[0] <= time:
            earlier = heapq.heappop(self._waiting)
            # Some healthy packets hold no frame that is shown.
            if earlier < time and earlier <= self._failed_until:
                num_missing += 1
                self._note_first(earlier)
        if time is not None:
            self._note_first(time)
            self._note_restart(time)
        self.index += num_missing + 1
        return num_missing

    def _note_first(self, time: int) -> None:
        if self.first_time is None:
            self.first_time = time

    def _note_restart(self, time: int) -> None:
        """Lets the time go on where it starts again, as in recordings that were joined byte by byte."""
        if self._time is not None and self.first_time is not None:
            if time < self._time:
                self.first_time += time - self._time - self._step
            else:
                self._step = time - self._time
        self._time = time

    def num_missing_at_the_end(self) -> int:
        """Returns how many frames are missing behind the last one."""
        return sum(time <= self._failed_until for time in self._waiting)
