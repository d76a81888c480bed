"""A server of one file that cuts, lies and refuses."""

from __future__ import annotations

import http.server
import re
import threading

import numpy as np

CONTENT = np.random.default_rng(0).bytes(3_000_000)


class Server:
    """Serves a file.

    Attributes:
        content: the file.
        status: of each answer; anything but 200 refuses the file.
        says_length: whether it tells the size of the file.
        sends_chunks: whether it sends the file in chunks.
        cuts: after how many bytes the next answers break off.
        knows_ranges: whether it can begin in the middle.
        requests: the Range header of each request.
    """

    def __init__(self, content=CONTENT, name="weights.pth"):
        self.cuts: list[int] = []
        self.knows_ranges = True
        self.status = 200
        self.says_length = True
        self.sends_chunks = False
        self.content = content
        self.requests: list[str | None] = []
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/{name}"

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    def _handler(self):
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.answer(self)

            def log_message(self, *arguments):
                pass

        return Handler

    def answer(self, handler):
        wanted = handler.headers.get("Range")
        self.requests.append(wanted)
        if self.status != 200:
            handler.send_error(self.status)
            return
        start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted and self.knows_ranges else 0
        if start >= len(self.content):
            handler.send_response(416)
            handler.send_header("Content-Range", f"bytes */{len(self.content)}")
            handler.end_headers()
            return
        # HTTP/1.0 has no chunks.
        handler.protocol_version, handler.close_connection = "HTTP/1.1" if self.sends_chunks else "HTTP/1.0", True
        handler.send_response(206 if start else 200)
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{len(self.content) - 1}/{len(self.content)}")
        if self.sends_chunks:
            handler.send_header("Transfer-Encoding", "chunked")
        elif self.says_length:
            handler.send_header("Content-Length", str(len(self.content) - start))
        handler.end_headers()
        stop = start + self.cuts.pop(0) if self.cuts else len(self.content)
        if self.sends_chunks:
            handler.wfile.write(b"%x\r\n" % (len(self.content) - start))
        handler.wfile.write(self.content[start:stop])
        if self.sends_chunks and stop == len(self.content):
            handler.wfile.write(b"\r\n0\r\n\r\n")
