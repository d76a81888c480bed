"""Downloads from a server of our own that cuts, lies and refuses."""

from __future__ import annotations

import hashlib
import socket

import pytest
from file_server import CONTENT, Server

from tfpose.pretrained.download import download_file

DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server():
    server = Server()
    yield server
    server.close()


def download(server, tmp_path, digits=DIGEST[:8]):
    return download_file(server.url, tmp_path / "cache" / "weights.pth", digits, show_progress=False)


def left_over(tmp_path):
    return {path.name for path in (tmp_path / "cache").iterdir()}


def test_a_file_arrives_whole_and_is_not_fetched_again(server, tmp_path):
    path = download(server, tmp_path)
    assert path.read_bytes() == CONTENT
    assert left_over(tmp_path) == {"weights.pth"}
    assert download(server, tmp_path) == path
    assert len(server.requests) == 1


def test_a_cut_connection_is_continued_where_it_broke(server, tmp_path):
    server.cuts = [1_000_000, 500_000, 1]
    assert download(server, tmp_path).read_bytes() == CONTENT
    assert server.requests == [None, "bytes=1000000-", "bytes=1500000-", "bytes=1500001-"]


def test_a_file_in_chunks_is_whole_too(server, tmp_path):
    """Nobody tells its size."""
    server.sends_chunks, server.cuts = True, [1_500_000]
    assert download(server, tmp_path, digits="").read_bytes() == CONTENT
    assert server.requests == [None, "bytes=1048576-"]


def test_an_earlier_attempt_is_continued(server, tmp_path):
    server.cuts = [700_000] + [0] * 10
    with pytest.raises(OSError, match=r"the connection was cut after 700,000 of 3,000,000 bytes; the same command"):
        download(server, tmp_path)
    assert left_over(tmp_path) == {"weights.pth.part"}
    server.cuts, server.requests = [], []
    assert download(server, tmp_path).read_bytes() == CONTENT
    assert server.requests == ["bytes=700000-"]


def test_a_server_that_cannot_continue_begins_anew(server, tmp_path):
    server.knows_ranges, server.cuts = False, [1_000_000]
    assert download(server, tmp_path).read_bytes() == CONTENT
    assert len(server.requests) == 2


def test_a_whole_file_that_was_never_renamed_is_taken(server, tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "weights.pth.part").write_bytes(CONTENT)
    assert download(server, tmp_path).read_bytes() == CONTENT


def test_the_rest_of_another_longer_file_is_thrown_away(server, tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "weights.pth.part").write_bytes(CONTENT + b"more")
    assert download(server, tmp_path).read_bytes() == CONTENT
    assert server.requests == ["bytes=3000004-", None]


def test_a_wrong_checksum_leaves_nothing(server, tmp_path):
    with pytest.raises(
        ValueError, match=f"SHA-256 must begin with 00000000, got {DIGEST[:16]}.*downloaded file was deleted"
    ):
        download(server, tmp_path, "00000000")
    assert left_over(tmp_path) == set()


def test_the_start_of_another_file_is_found_out_by_the_checksum(server, tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "weights.pth.part").write_bytes(bytes(1000))
    with pytest.raises(ValueError, match="the downloaded file was deleted"):
        download(server, tmp_path)
    assert download(server, tmp_path).read_bytes() == CONTENT


def test_without_a_checksum_and_without_a_size_all_that_comes_is_taken(server, tmp_path):
    server.says_length = False
    assert download(server, tmp_path, "").read_bytes() == CONTENT


@pytest.mark.parametrize("status", [403, 404, 500])
def test_a_refusal_is_one_clear_error(server, tmp_path, status):
    server.status = status
    with pytest.raises(OSError, match=f"cannot download {server.url}: the server answered {status}") as caught:
        download(server, tmp_path)
    assert "\n" not in str(caught.value)


def closed_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def test_no_network_is_one_clear_error(tmp_path):
    url = f"http://127.0.0.1:{closed_port()}/weights.pth"
    with pytest.raises(OSError, match=r"cannot download http://127.*: no connection \(.*refused") as caught:
        download_file(url, tmp_path / "weights.pth", show_progress=False)
    assert "\n" not in str(caught.value)
    with pytest.raises(OSError, match="no connection"):
        download_file("http://no.such.host.invalid/weights.pth", tmp_path / "weights.pth", show_progress=False)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/weights.pth", "weights.pth"])
def test_only_the_web_is_asked(url, tmp_path):
    with pytest.raises(ValueError, match="address must begin with http"):
        download_file(url, tmp_path / "weights.pth")
