"""Downloads files: continues where an attempt was cut, and shows a file only when it is complete and correct."""

from __future__ import annotations

import hashlib
import http.client
import os
import pathlib
import re
import urllib.error
import urllib.request
from typing import BinaryIO

from tqdm import tqdm

_TIMEOUT_SECONDS = 30.0
_CHUNK_BYTES = 1 << 20
# A server that cuts every connection must not keep the program busy forever.
_ATTEMPTS_WITHOUT_PROGRESS = 3
_PARTIAL_SUFFIX = ".part"
_RANGE_NOT_SATISFIABLE = 416
_PARTIAL_CONTENT = 206
_SECONDS_WITHOUT_PROGRESS_BAR = 1.0


class UnreachableFileError(OSError):
    """There is no network, or the server refuses the file: only another way, such as a browser, may get it.

    Attributes:
        reason: Why, in words.
    """

    def __init__(self, source: str, reason: str, advice: str = "") -> None:
        """Makes the message.

        Args:
            source: Address or name of the file.
            reason: Why it cannot be downloaded.
            advice: What to do.
        """
        super().__init__(f"cannot download {source}: {reason}{advice and f'; {advice}'}")
        self.reason = reason


def download_file(
    url: str, path: pathlib.Path, digits: str = "", digest: str = "sha256", show_progress: bool = True
) -> pathlib.Path:
    """Downloads a file unless it exists already; continues an earlier attempt that was cut.

    Args:
        url: Address that begins with http:// or https://.
        path: File to write. Until it is complete, its content is in `path` + '.part'.
        digits: First hexadecimal digits of the file's digest. '' only checks the size that the server reports.
        digest: Algorithm of `digits`, 'sha256' or 'md5'.
        show_progress: Whether to draw a progress bar, unless the download takes less than a second.

    Returns:
        `path`.

    Raises:
        UnreachableFileError: There is no network or no such file; the message is one line.
        OSError: The connection was cut several times without progress; the message is one line.
        ValueError: The digest differs. The downloaded data is deleted.
    """
    if path.is_file():
        return path
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"address must begin with http:// or https://, got {url}")
    partial = path.with_name(path.name + _PARTIAL_SUFFIX)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tqdm(
        desc=path.name,
        unit="B",
        unit_scale=True,
        unit_divisor=1024,
        disable=not show_progress,
        delay=_SECONDS_WITHOUT_PROGRESS_BAR,
    ) as bar:
        _download_all(url, partial, bar)
    try:
        check_digits(partial, digits, digest)
    except ValueError as error:
        partial.unlink()
        raise ValueError(f"{url}: {error}; the downloaded file was deleted") from error
    os.replace(partial, path)
    return path


def _download_all(url: str, partial: pathlib.Path, bar: tqdm) -> None:
    """Downloads the rest of the file again and again until nothing is missing."""
    failures = 0
    while True:
        before = _size(partial)
        try:
            total = _download_rest(url, partial, bar)
            reason = f"the connection was cut after {_size(partial):,} of {total or 0:,} bytes"
            if total is None or _size(partial) == total:
                return
        except (TimeoutError, ConnectionError, http.client.HTTPException) as error:
            reason = f"the connection was cut ({error or type(error).__name__})"
        except urllib.error.URLError as error:
            raise UnreachableFileError(url, _reason(error)) from error
        failures = 0 if _size(partial) > before else failures + 1
        if failures >= _ATTEMPTS_WITHOUT_PROGRESS:
            raise OSError(f"cannot download {url}: {reason}; the same command continues from {partial}")


def _download_rest(url: str, partial: pathlib.Path, bar: tqdm) -> int | None:
    """Appends the missing bytes until the connection ends; returns the file's size if the server tells it."""
    start = _size(partial)
    request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        with error:
            total = _total_of_range(error.headers.get("Content-Range"))
        if error.code != _RANGE_NOT_SATISFIABLE or not start:
            raise
        if total == start:
            return total
        partial.unlink()
        raise ConnectionError("the file on the server has changed since the download began") from error
    with response, open(partial, "ab") as file:
        if response.status != _PARTIAL_CONTENT or not _continues_at(response, start):
            file.truncate(start := 0)
        length = response.headers.get("Content-Length")
        total = start + int(length) if length and length.isdigit() else None
        bar.total, bar.n = total, start
        _copy(response, file, bar)
    return total


def _copy(response: BinaryIO, file: BinaryIO, bar: tqdm) -> None:
    while chunk := response.read(_CHUNK_BYTES):
        file.write(chunk)
        bar.update(len(chunk))


def _continues_at(response: http.client.HTTPResponse, start: int) -> bool:
    match = re.match(r"bytes (\d+)-", response.headers.get("Content-Range") or "")
    return match is not None and int(match[1]) == start


def _total_of_range(content_range: str | None) -> int | None:
    match = re.fullmatch(r"bytes \*/(\d+)", content_range or "")
    return int(match[1]) if match else None


def _reason(error: urllib.error.URLError) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"the server answered {error.code} {error.reason}"
    return f"no connection ({error.reason})"


def _size(path: pathlib.Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def check_digits(path: pathlib.Path, digits: str, digest: str = "sha256") -> None:
    """Checks the first hexadecimal digits of a file's digest, 'sha256' or 'md5'; '' checks nothing.

    Raises:
        ValueError: The digits differ; the message does not name the file.
    """
    if digits and not (found := digest_of_file(path, digest)).startswith(digits.lower()):
        name = {"sha256": "SHA-256", "md5": "MD5"}[digest]
        raise ValueError(f"{name} must begin with {digits}, got {found[:16]}...")


def digest_of_file(path: pathlib.Path, digest: str = "sha256") -> str:
    """Returns the digest of a file, 'sha256' or 'md5', in hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(digest, usedforsecurity=False)).hexdigest()
