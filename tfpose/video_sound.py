"""Copies the sound of one video into another while PyAV writes it."""

from __future__ import annotations

import dataclasses
import fractions
import io
from collections.abc import Iterator
from typing import Any

from tfpose.file_names import utf8_name

# A server may be silent because it answers one request at a time, and the pictures of the video are read meanwhile.
_TIMEOUT_SECONDS = 30


@dataclasses.dataclass(frozen=True)
class Sound:
    """Sound of another video.

    Attributes:
        address: Path or URL of the other video.
        start_seconds: Time at which the sound begins, on the clock of the other video.
    """

    address: str
    start_seconds: float = 0.0


class SoundTrack:
    """Sound of an input as a stream of an output. It is encoded again only if the container cannot hold its codec.

    A failure ends the sound and not the video; `note` tells.

    Attributes:
        note: What became of the sound, for the user; '' if the input has none.
    """

    def __init__(self, av: Any, output: Any, sound: Sound, codec: str) -> None:
        """Opens the input and adds a stream to the output.

        Args:
            av: The package PyAV.
            output: Container to which nothing has been written yet.
            sound: Sound to add.
            codec: Encoder for sound that the container cannot hold.
        """
        self.note = ""
        self._av, self._output, self._start = av, output, fractions.Fraction(sound.start_seconds)
        self._input: Any = None
        self._target: Any = None
        self._packets: Iterator[Any] = iter(())
        self._waiting: Any = None
        self._latest = fractions.Fraction(-1)
        try:
            with utf8_name(sound.address) as name:
                self._input = av.open(name, timeout=_TIMEOUT_SECONDS if "://" in sound.address else None)
            if self._input.streams.audio:
                self._open(codec)
        except (av.FFmpegError, OSError, ValueError) as error:
            self._fail("the sound is not kept", error)

    def _open(self, codec: str) -> None:
        source = self._input.streams.audio[0]
        layout = source.codec_context.layout
        # As it is, encoded again, and encoded again with speakers that every codec knows.
        ways = (("", ""), (codec, layout), (codec, "mono" if layout.nb_channels == 1 else "stereo"))
        self._is_copied, self._target = False, None
        for way in ways:
            if self._can_add(source, *way):
                self._is_copied, self._target = way == ways[0], _add_stream(self._output, source, *way)
                break
        else:
            raise ValueError(f"{self._output.format.name} cannot hold {source.codec_context.name}")
        if self._start > 0:
            self._input.seek(int(self._start / source.time_base), stream=source)
        self._packets = self._input.demux(source)
        self.note = "the sound is kept"

    def _can_add(self, source: Any, codec: str, layout: Any) -> bool:
        """Returns whether a file like the output can begin with such a stream; a trial costs no video."""
        try:
            with self._av.open(io.BytesIO(), "w", format=self._output.format.name) as trial:
                _add_stream(trial, source, codec, layout)
                trial.start_encoding()
        except (self._av.FFmpegError, ValueError):
            return False
        return True

    def _fail(self, what: str, error: Exception) -> None:
        is_silent = isinstance(error, self._av.error.ExitError)
        reason = f"no answer within {_TIMEOUT_SECONDS} seconds" if is_silent else getattr(error, "strerror", None)
        self.note = f"{what}: {reason or error}"
        self._target = None

    def write_until(self, seconds: float) -> None:
        """Adds the sound up to a time of the output. An error of the output is raised, one of the input is not."""
        while self._target is not None:
            packet = self._next_packet()
            if packet is None:
                return
            at = packet.pts * packet.time_base - self._start
            if at >= seconds:
                self._waiting = packet
                return
            # Behind a clock that starts again, the sound has no place in the output.
            if at >= 0 and at > self._latest:
                self._latest = at
                self._write(packet)

    def _next_packet(self) -> Any:
        """Returns the next packet with a time; None at the end."""
        if self._waiting is not None:
            packet, self._waiting = self._waiting, None
            return packet
        try:
            return next((packet for packet in self._packets if packet.pts is not None), None)
        except self._av.FFmpegError as error:
            self._fail("the rest of the sound is missing", error)
            return None

    def _write(self, packet: Any) -> None:
        offset = round(self._start / packet.time_base)
        try:
            for added in self._shifted_packets(packet, offset):
                self._output.mux(added)
        except ValueError as error:  # The codec or the container refuses the sound; a full disk is another error.
            self._fail("the rest of the sound is missing", error)

    def _shifted_packets(self, packet: Any, offset: int) -> Iterator[Any]:
        """Yields a packet of the input as packets of the output that come `offset` ticks sooner."""
        if self._is_copied:
            packet.pts -= offset
            packet.dts = packet.pts
            packet.stream = self._target
            yield packet
            return
        try:
            frames = packet.decode()
        except self._av.FFmpegError:
            return
        for frame in frames:
            if frame.pts is not None:
                frame.pts -= offset
            yield from self._target.encode(frame)

    def finish(self) -> None:
        """Adds what the encoder still holds."""
        if self._target is not None and not self._is_copied:
            self._output.mux(self._target.encode(None))
        self.close()

    def close(self) -> None:
        """Closes the input."""
        if self._input is not None:
            self._input.close()


def _add_stream(output: Any, source: Any, codec: str, layout: Any) -> Any:
    """Adds a stream for the sound of another file to a container; without a codec it is copied."""
    if not codec:
        return output.add_stream_from_template(source)
    stream = output.add_stream(codec)
    stream.layout = layout
    return stream
