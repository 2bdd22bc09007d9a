"""A Hub with one repository, which remembers what it was asked for and what it sent."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

REPOSITORY = "someone/tiny"
CHUNK = 1 << 16
COMMIT = "0123456789abcdef0123456789abcdef01234567"
LARGE = 5_000
"""In these tests, files from this size on are kept in LFS and resumed."""


@dataclass
class FakeHub:
    """A Hub with one repository, on a free port.

    Args:
        files: name → content.
        requests: method, path and Range header of every request, in order.
        refuse: path prefix → status and error code of the answer.
        corrupt: names whose content arrives with one byte changed.
        stall: name → bytes after which its content comes no further.
        stalled: set when a file has come to its stall.
        sent: name → bytes of its content that were sent.
    """

    files: dict[str, bytes]
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    refuse: dict[str, tuple[int, str]] = field(default_factory=dict)
    corrupt: set[str] = field(default_factory=set)
    stall: dict[str, int] = field(default_factory=dict)
    stalled: threading.Event = field(default_factory=threading.Event)
    sent: Counter[str] = field(default_factory=Counter)
    endpoint: str = ""

    def downloads(self) -> list[str]:
        """Names of the files whose content was asked for."""
        return [
            path.rpartition("/")[2]
            for method, path, _ in self.requests
            if method == "GET" and "/resolve/" in path
        ]

    def info(self) -> dict[str, Any]:
        """The repository as the API describes it."""
        return {"id": REPOSITORY, "sha": COMMIT, "siblings": [*map(self._sibling, self.files)]}

    def _sibling(self, name: str) -> dict[str, Any]:
        content = self.files[name]
        sibling: dict[str, Any] = {
            "rfilename": name,
            "size": len(content),
            "blobId": self.etag(name, lfs=False),
        }
        if len(content) >= LARGE:
            sha256 = hashlib.sha256(content).hexdigest()
            sibling["lfs"] = {"sha256": sha256, "size": len(content), "pointerSize": 130}
        return sibling

    def etag(self, name: str, *, lfs: bool | None = None) -> str:
        """SHA-256 of a large file, Git's digest of a small one."""
        content = self.files[name]
        if len(content) >= LARGE if lfs is None else lfs:
            return hashlib.sha256(content).hexdigest()
        return hashlib.sha1(
            b"blob %d\0" % len(content) + content, usedforsecurity=False
        ).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves a fake Hub on a free port."""

    daemon_threads = True

    def __init__(self, fake: FakeHub) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.fake = fake

    def handle_error(self, *_: object) -> None:
        """Nothing to the terminal: callers that are killed hang up."""


class Handler(BaseHTTPRequestHandler):
    """Answers as the Hub does: its API, metadata of files, files from any byte on."""

    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *_: object) -> None:
        """Nothing to the terminal."""

    def do_HEAD(self) -> None:
        """Metadata of a file."""
        self.do_GET()

    def do_GET(self) -> None:
        """A file, or the API."""
        fake, path = self.server.fake, unquote(urlsplit(self.path).path)
        fake.requests.append((self.command, path, self.headers.get("Range", "")))
        refused = next(
            (fake.refuse[prefix] for prefix in fake.refuse if path.startswith(prefix)), None
        )
        if refused:
            self._send(refused[0], b"{}", {"X-Error-Code": refused[1]})
        elif path.startswith(f"/api/models/{REPOSITORY}"):
            self._send(200, json.dumps(fake.info()).encode(), {})
        elif path.rpartition("/")[2] in fake.files:
            self._file(path.rpartition("/")[2])
        else:
            self._send(404, b"{}", {"X-Error-Code": "EntryNotFound"})

    def _file(self, name: str) -> None:
        content = self.server.fake.files[name]
        if name in self.server.fake.corrupt:
            content = content[:-1] + bytes([content[-1] ^ 1])
        headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{self.server.fake.etag(name)}"'}
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0])
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self._send(206 if start else 200, content[start:], headers)

    def _send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self._write(content)

    def _write(self, content: bytes) -> None:
        fake, name = self.server.fake, unquote(urlsplit(self.path).path).rpartition("/")[2]
        most = fake.stall.get(name, len(content))
        for start in range(0, min(most, len(content)), CHUNK):
            chunk = content[start : min(start + CHUNK, most)]
            self.wfile.write(chunk)
            fake.sent[name] += len(chunk)
        if most < len(content):
            fake.stalled.set()
            # Until the caller is gone.
            self.rfile.read(1)
