"""An HTTP server of this machine alone, which takes what is posted to it."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import BoundedSemaphore, Thread
from typing import Any, Final

LOOPBACK: Final = "127.0.0.1"

_MAX_BODY: Final = 1024 * 1024
_SILENCE_S: Final = 10.0
"""How long a sender may say nothing in the midst of a request."""
_AT_ONCE: Final = 32

Take = Callable[[bytes, Mapping[str, str]], int]
"""What becomes of a body and its headers, whose names are in lower case: an HTTP status."""


class Receiver(ThreadingHTTPServer):
    """Takes up to 32 requests at once, each in a thread of its own.

    Making one raises OSError where the port is not free.
    """

    daemon_threads = True

    def __init__(self, port: int, take: Take) -> None:
        self.take = take
        self._places = BoundedSemaphore(_AT_ONCE)
        super().__init__((LOOPBACK, port), _Handler)

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.server_port}/"

    @contextmanager
    def receiving(self) -> Iterator[None]:
        """Receive while the block runs."""
        server = Thread(target=self.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
        with self:
            server.start()
            try:
                yield
            finally:
                self.shutdown()
                server.join()

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._places.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a sender who went away: what he did not finish he sends again."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _SILENCE_S
    server: Receiver

    def do_POST(self) -> None:
        length = self.headers.get("content-length", "")
        if not (length.isascii() and length.isdigit()):
            self._answer(411)
        elif int(length) > _MAX_BODY:
            self._answer(413)
        else:
            body = self.rfile.read(int(length))
            headers = {name.lower(): value for name, value in self.headers.items()}
            self._answer(self.server.take(body, headers))

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("content-length", "0")
        # What was not read of a request must not be taken for the next one.
        self.send_header("connection", "close")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: what arrives is printed by whoever takes it."""
