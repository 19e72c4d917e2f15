"""`reli webhook listen`: only what verifies is printed, and nothing is left behind."""

import http.client
import json
import re
import signal
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from app.stack.stack import ReadyStack
from tests.support.command import Command


@pytest.fixture
def reli(running_stack: ReadyStack, tmp_path: Path) -> Command:
    ready_file = tmp_path / "ready.json"
    ready_file.write_text(running_stack.to_json())
    reli = Command(home=tmp_path, secrets={running_stack.operator_key})
    reli.done("login", "--ready-file", str(ready_file))
    return reli


@contextmanager
def listening(reli: Command, *words: str) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """Yield a command that listens, and its URL; it is killed if it did not end by itself."""
    process = reli.start("webhook", "listen", *words)
    try:
        assert process.stderr is not None
        yield process, _url_in(process.stderr.readline())
    finally:
        process.kill()
        process.communicate()


def _url_in(said: str) -> str:
    found = re.search(r"http://127\.0\.0\.1:\d+/", said)
    assert found, said
    return found[0]


def line_of(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def problem_of(process: "subprocess.Popen[str]") -> str:
    assert process.stderr is not None
    return process.stderr.readline()


def post(url: str, body: bytes, headers: dict[str, str]) -> int:
    request = urllib.request.Request(url, data=body, headers=headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_events_are_printed_and_the_endpoint_is_gone_at_the_end(
    reli: Command, end: signal.Signals
) -> None:
    with listening(reli, "--types", "customer.*") as (process, _):
        reli.done("customers", "create", "amina")
        printed = line_of(process)
        process.send_signal(end)
        assert process.wait(30) == 0
        assert "is deleted" in problem_of(process)

    assert printed.split()[3] == "customer.created"
    log = reli.done("events", "tail", "--after", "0", "--until", "5")
    assert [line.split()[3] for line in log.splitlines()[2:]] == [
        "webhook_endpoint.created",
        "customer.created",
        "webhook_endpoint.deleted",
    ]


def test_what_is_not_signed_or_was_changed_is_refused_and_said(reli: Command) -> None:
    with kept() as (deliveries, forward), listening(reli, "--forward", forward) as (process, url):
        reli.done("customers", "create", "amina")
        line_of(process)
        line_of(process)
        headers, body = deliveries[-1]

        assert post(url, body, headers) == 204
        assert post(url, body.replace(b"amina", b"zawad"), headers) == 400
        assert "refused" in problem_of(process)
        assert post(url, body, {"content-type": "application/json"}) == 400
        assert "refused" in problem_of(process)


def test_what_is_too_long_is_not_even_read(reli: Command) -> None:
    with listening(reli) as (_, url):
        connection = http.client.HTTPConnection(url.split("/")[2], timeout=10)
        connection.putrequest("POST", "/")
        connection.putheader("content-length", str(1024 * 1024 + 1))
        connection.endheaders()

        assert connection.getresponse().status == 413
        connection.close()


def test_what_verifies_is_handed_on_as_it_came(reli: Command) -> None:
    with (
        kept() as (deliveries, forward),
        listening(reli, "--json", "--forward", forward) as (
            process,
            _,
        ),
    ):
        reli.done("customers", "create", "amina")
        printed = json.loads(line_of(process))
        while printed["type"] != "customer.created":
            printed = json.loads(line_of(process))
        headers, body = deliveries[-1]

    assert json.loads(body) == printed
    assert headers["webhook-id"] == printed["id"]


def test_the_secret_of_an_endpoint_that_exists_is_taken_from_standard_input(
    reli: Command,
) -> None:
    secret = "whsec_Y2FuYXJ5LW9mLWFuLWVuZHBvaW50LTAxMjM0NTY3ODk="
    reli.secrets.add(secret)
    process = reli.start("webhook", "listen", "--secret-stdin")
    assert process.stdin is not None and process.stderr is not None
    process.stdin.write(f"{secret}\n")
    process.stdin.flush()
    url = _url_in(process.stderr.readline())

    body, headers = signed(secret)
    assert post(url, body, headers) == 204
    printed = line_of(process)
    assert post(url, body[:-2] + b" }", headers) == 400
    process.send_signal(signal.SIGINT)

    assert process.wait(30) == 0
    assert printed.split() == ["7", "2026-03-02", "09:30:00", "trade.settled", "trade_1"]
    assert secret not in process.communicate()[1]


def test_a_secret_that_is_none_is_not_listened_with(reli: Command) -> None:
    assert reli.run("webhook", "listen", "--secret-stdin", stdin="hunter2\n").code == 2


def test_a_port_that_is_taken_is_said(reli: Command) -> None:
    with kept() as (_, taken):
        port = taken.rsplit(":", 1)[1].strip("/")
        ended = reli.run("webhook", "listen", "--port", port)

    assert ended.code == 2
    assert port in ended.err
    assert reli.done("events", "tail", "--after", "0", "--until", "2").count("\n") == 2


def signed(secret: str) -> tuple[bytes, dict[str, str]]:
    event = {
        "specversion": "1.0",
        "id": "event_1",
        "type": "trade.settled",
        "source": "https://reli.dev/tenants/tenant_1",
        "subject": "trade_1",
        "time": "2026-03-02T09:30:00Z",
        "sequence": "0000000000000000007",
        "data": {},
    }
    body, now = json.dumps(event), datetime.now(UTC)
    return body.encode(), {
        "content-type": "application/cloudevents+json",
        "webhook-id": "event_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign("event_1", now, body),
    }


@contextmanager
def kept() -> Iterator[tuple[list[tuple[dict[str, str], bytes]], str]]:
    """Yield what is posted to a server, and its URL."""
    posted: list[tuple[dict[str, str], bytes]] = []

    class Keeper(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            posted.append(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Keeper) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield posted, f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()
