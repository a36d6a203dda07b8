"""A web site on this machine, with the ways in which a server can fail."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Site:
    """Some files, and how they are sent.

    Attributes:
        url: the site's address.
        files: content by path.
        etag: the ETag of all of them; None sends none.
        ranges: whether ``Range`` is heeded.
        if_range: whether ``If-Range`` is.
        cuts: for the next requests, after how many bytes the connection breaks.
        statuses: for the next requests, what is answered in place of a file.
        length: whether ``Content-Length`` is sent.
        chunked: whether files are sent in chunks, with nothing said about their length.
        requests: the headers of each request.
        hook: called at the beginning of each request.
    """

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    etag: str | None = None
    ranges: bool = True
    if_range: bool = True
    cuts: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    length: bool = True
    chunked: bool = False
    requests: list[dict[str, str]] = field(default_factory=list)
    hook: Callable[[], None] = lambda: None

    def asked(self) -> list[str | None]:
        """Returns the ``Range`` of each request."""
        return [headers.get("range") for headers in self.requests]


@contextmanager
def served() -> Iterator[Site]:
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            site.requests.append(headers)
            site.hook()
            content = site.files.get(self.path)
            if site.statuses or content is None:
                self.send_error(site.statuses.pop(0) if site.statuses else 404)
                return
            self.send(content, self.start(headers))

        def start(self, headers: dict[str, str]) -> int:
            if not site.ranges or "range" not in headers:
                return 0
            if site.if_range and headers.get("if-range", site.etag) != site.etag:
                return 0
            return int(headers["range"].removeprefix("bytes=").removesuffix("-"))

        def send(self, content: bytes, start: int) -> None:
            if start > len(content) or (start and start == len(content)):
                self.send_error(416)
                return
            self.send_response(206 if start else 200)
            if start:
                self.send_header(
                    "Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}"
                )
            if site.etag:
                self.send_header("ETag", site.etag)
            if site.length and not site.chunked:
                self.send_header("Content-Length", str(len(content) - start))
            if site.chunked:
                self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            part = content[start:]
            part = part[: site.cuts.pop(0)] if site.cuts else part
            if site.chunked:
                self.wfile.write(b"%x\r\n%b\r\n" % (len(part), part))
                part = b"0\r\n\r\n" if len(part) == len(content) else b""
            self.wfile.write(part)

        def log_message(self, *_: object) -> None:
            """Keeps quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    site.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield site
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
