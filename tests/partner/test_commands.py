"""A partner's commands against the whole platform: a first trade and all that is told of it."""

import asyncio
import base64
import json
import os
import pty
import re
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from app.stack.stack import ReadyStack
from tests.support.command import RELI, Command


@pytest.fixture(scope="module")
def ready_file(running_stack: ReadyStack, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("stack") / "ready.json"
    path.write_text(running_stack.to_json())
    return path


@pytest.fixture(scope="module")
def reli(
    running_stack: ReadyStack, ready_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Command:
    """Logged in, as a tenant with a customer who has two million naira and has traded once."""
    reli = Command(home=tmp_path_factory.mktemp("config"), secrets={running_stack.operator_key})
    reli.done("login", "--ready-file", str(ready_file))
    reli.done("customers", "create", "amina")
    reli.done("deposit", "2000000", "NGN", "--customer", "amina")
    reli.done("trade", "BTC-NGN", "buy", "0.01", "--customer", "amina", "--yes")
    return reli


@pytest.fixture
def newcomer(running_stack: ReadyStack, ready_file: Path, tmp_path: Path) -> Command:
    """Logged in, as a tenant of whom nothing else is known."""
    reli = Command(home=tmp_path, secrets={running_stack.operator_key})
    reli.done("login", "--ready-file", str(ready_file))
    return reli


def profile_of(reli: Command) -> Mapping[str, Any]:
    document = json.loads(reli.profiles.read_text())
    (profile,) = [one for one in document["profiles"] if one["name"] == document["current"]]
    found: Mapping[str, Any] = profile
    return found


def rest(running_stack: ReadyStack, reli: Command) -> aiohttp.ClientSession:
    key = profile_of(reli)["api_key"]
    return aiohttp.ClientSession(running_stack.rest_url, headers={"authorization": f"Bearer {key}"})


async def answered(session: aiohttp.ClientSession, path: str) -> Any:
    async with session.get(path) as response:
        assert response.status == 200
        return await response.json()


async def test_json_is_what_the_rest_face_answers(running_stack: ReadyStack, reli: Command) -> None:
    (trade,) = reli.document("trades", "list", "--limit", "1")["trades"]
    customer = trade["customer_id"]
    shown = reli.document("trades", "show", trade["id"])

    async with rest(running_stack, reli) as session:
        for words, path in (
            (("balances", customer), f"/v1/customers/{customer}/balances"),
            (("balances",), "/v1/ledger/accounts?page_size=200"),
            (("customers", "list"), "/v1/customers"),
        ):
            assert reli.document(*words) == await answered(session, path)
        for part, path in (("trade", ""), ("evidence", "/evidence"), ("receipt", "/receipt")):
            answer = await answered(session, f"/v1/trades/{trade['id']}{path}")
            assert shown[part] == answer[part]
        lines = reli.done("events", "tail", "--after", "0", "--until", "5", "--json").splitlines()
        events = await answered(session, "/v1/events?after=0&until=5")
    assert [json.loads(line) for line in lines] == events["events"]


def test_a_customer_is_named_by_either_id(reli: Command) -> None:
    (customer,) = reli.document("customers", "list")["customers"]

    assert reli.done("balances", "amina") == reli.done("balances", customer["id"])
    assert reli.run("balances", "zawadi").code == 1
    assert reli.run("balances", "customer_01h455vb4pex5vsknk084sn02q").code == 1


def test_what_a_trade_came_to_is_shown_and_its_receipt_verified(reli: Command) -> None:
    (trade,) = reli.document("trades", "list", "--limit", "1", "--state", "settled")["trades"]

    shown = reli.done("trades", "show", trade["id"])

    assert f"{trade['id']}  settled" in shown
    assert "buy 0.01000000 BTC for 1,503,000.00 NGN" in shown
    assert re.search(r"^1 +alpha +filled +1,503,000\.00 NGN", shown, re.MULTILINE)
    assert re.search(r"^beta .* outbid$", shown, re.MULTILINE)
    assert re.search(r"^✓ receipt verified, booked as entry_\w+$", shown, re.MULTILINE)


def test_trades_are_listed_by_state(reli: Command) -> None:
    assert reli.document("trades", "list", "--state", "rejected")["trades"] == []
    assert reli.document("trades", "list", "--state", "settled", "--customer", "amina")["trades"]


def test_an_indicative_quote_cannot_be_accepted_and_says_so(reli: Command) -> None:
    shown = reli.done("quote", "btc-ngn", "sell", "0.001", "--indicative")

    assert "quote_" not in shown
    assert "promised to nobody" in shown
    assert re.search(r"customer receives +149,700\.00  NGN", shown)


def test_a_quote_of_what_is_paid_is_accepted_by_its_id(reli: Command) -> None:
    told = reli.document("quote", "BTC-NGN", "buy", "--pay", "15030", "--customer", "amina")
    assert told["quote"]["quote_amount"] == {"value": "15030.00", "asset": "NGN"}
    assert {answer["lp"] for answer in told["lp_answers"]} == {"alpha", "beta"}

    accepted = reli.document("accept", told["quote"]["id"])

    assert accepted["trade"]["state"] == "TRADE_STATE_SETTLED"
    assert accepted["receipt"]["trade_id"] == accepted["trade"]["id"]


def test_a_repeated_trade_is_the_same_trade(reli: Command) -> None:
    words = ("trade", "BTC-NGN", "buy", "0.0001", "--customer", "amina", "--yes")
    mine = ("--request-id", f"mine-{uuid4().hex}")

    first, again = reli.document(*words, *mine), reli.document(*words, *mine)

    assert first["quote"]["id"] == again["quote"]["id"]
    assert again["quote"]["state"] == "QUOTE_STATE_ACCEPTED"
    assert first["trade"] == again["trade"]
    other = reli.run("trade", "BTC-NGN", "buy", "0.0002", "--customer", "amina", "--yes", *mine)
    assert other.code == 1
    assert "REQUEST_ID_REUSED" in other.err


def test_a_repeated_deposit_is_the_same_deposit(reli: Command) -> None:
    mine = ("--request-id", f"mine-{uuid4().hex}")

    first, again = (reli.document("deposit", "7.00", "NGN", *mine) for _ in range(2))

    assert first == again


def test_a_rejected_trade_ends_with_1_and_has_a_receipt(reli: Command) -> None:
    words = ("trade", "BTC-NGN", "buy", "0.00097722", "--customer", "amina", "--yes")

    ended = reli.run(*words, "--json")

    assert ended.code == 1
    assert ended.document["trade"]["state"] == "TRADE_STATE_REJECTED"
    assert ended.document["receipt"]["rejection_reason"] != ""


def test_who_is_asked_says_yes_in_time(reli: Command) -> None:
    assert "✓ settled" in typed(reli, "y", 0)
    assert "declined: this command accepted nothing" in typed(reli, "n", 1)
    assert "declined: this command accepted nothing" in typed(reli, "", 1)


def typed(reli: Command, answer: str, code: int) -> str:
    """Return what a terminal shows of a trade, answered after a second of the countdown."""
    words = ("trade", "BTC-NGN", "buy", "0.0001", "--customer", "amina")
    shown, ended = on_a_terminal(reli, *words, answers=[("s left: \x1b8", answer)])
    assert ended == code, shown
    return re.sub(r"\x1b(\[[0-9;]*m|[78])", "", shown)


def test_a_key_that_is_typed_is_not_shown(running_stack: ReadyStack, newcomer: Command) -> None:
    key = profile_of(newcomer)["api_key"]

    shown, code = on_a_terminal(
        newcomer,
        *("login", "--profile", "typed"),
        # The blank comes once what was typed before has been thrown away.
        answers=[("URL: ", running_stack.rest_url), ("API key: ", key)],
    )

    assert code == 0
    assert "logged in" in shown
    assert key not in shown
    assert profile_of(newcomer)["name"] == "typed"


def test_color_is_for_terminals_where_it_is_wanted(reli: Command) -> None:
    green = "\x1b[32msettled"

    assert "\x1b" not in reli.done("trades", "list")
    assert green in on_a_terminal(reli, "trades", "list")[0]
    assert green not in on_a_terminal(reli, "trades", "list", NO_COLOR="1")[0]


def on_a_terminal(
    reli: Command, *words: str, answers: Sequence[tuple[str, str]] = (), **variables: str
) -> tuple[str, int]:
    """Return what a terminal shows, and the exit code; each question has its answer typed."""
    process, terminal = pty.fork()
    if process == 0:
        signal.alarm(60)  # an execution ends with it too
        env = reli.env | {"TERM": "xterm-256color", "COLUMNS": "200", **variables}
        os.execve(RELI, [RELI, *words], env)
    shown, left = b"", [(question.encode(), answer.encode()) for question, answer in answers]
    while True:
        try:
            shown += os.read(terminal, 65_536)
        except OSError:  # its end
            break
        if left and left[0][0] in shown:
            os.write(terminal, left.pop(0)[1] + b"\n")
    os.close(terminal)
    _, status = os.waitpid(process, 0)
    return shown.decode(), os.waitstatus_to_exitcode(status)


def test_events_are_followed_until_ctrl_c_which_ends_well(reli: Command) -> None:
    process = reli.start("events", "tail", "--types", "trade.*")
    assert process.stderr is not None and process.stdout is not None
    assert "Ctrl-C ends" in process.stderr.readline()

    told = reli.document("trade", "BTC-NGN", "buy", "0.0001", "--customer", "amina", "--yes")
    lines = [process.stdout.readline() for _ in range(2)]
    process.send_signal(signal.SIGINT)

    assert process.wait(30) == 0
    assert [line.split()[3] for line in lines] == ["trade.accepted", "trade.settled"]
    assert all(told["trade"]["id"] in line for line in lines)
    process.communicate()


def test_who_may_not_read_events_is_told_at_once(reli: Command) -> None:
    assert reli.run("events", "tail", "--after", "1000000000").code == 1
    assert reli.run("events", "tail", "--types", "trade.selttled").code == 1


def test_a_wrong_key_is_not_kept(running_stack: ReadyStack, tmp_path: Path) -> None:
    reli = Command(home=tmp_path, secrets={"reli_canary-that-nobody-has"})
    words = ("login", "--url", running_stack.rest_url, "--key-stdin")

    ended = reli.run(*words, stdin="reli_canary-that-nobody-has\n")

    assert ended.code == 1
    assert "API_KEY_UNKNOWN" in ended.err
    assert not reli.profiles.exists()


def test_a_key_is_kept_with_its_certificate_and_used_by_name(
    running_stack: ReadyStack, newcomer: Command
) -> None:
    key = profile_of(newcomer)["api_key"]
    told = newcomer.done(
        *("login", "--profile", "again", "--url", running_stack.tls_url),
        *("--ca", running_stack.tls_certificate, "--key-stdin"),
        stdin=key,
    )
    assert "Local sandbox" in told
    assert "read, customers, quotes, trades" in told

    newcomer.done("use", "default")
    listed = newcomer.document("profiles")
    newcomer.done("balances", "--profile", "again")
    newcomer.done("logout", "--profile", "again")

    assert listed["current"] == "default"
    assert [one["name"] for one in listed["profiles"]] == ["default", "again"]
    assert newcomer.run("balances", "--profile", "again").code == 2
    newcomer.done("logout")
    assert newcomer.run("balances").code == 2


def test_an_unknown_certificate_is_not_trusted(
    running_stack: ReadyStack, newcomer: Command
) -> None:
    key = profile_of(newcomer)["api_key"]

    ended = newcomer.run("login", "--url", running_stack.tls_url, "--key-stdin", stdin=key)

    assert ended.code == 1


async def test_calls_are_signed_once_there_is_a_key(
    running_stack: ReadyStack, newcomer: Command
) -> None:
    made = newcomer.document("signing-key", "create")
    async with rest(running_stack, newcomer) as session:
        # What ends the demand must be signed, what begins it need not be.
        body = {"signing_required": True}
        async with session.patch("/v1/tenants/current", json=body) as response:
            assert response.status == 200
    await asyncio.sleep(1.2)  # servers believe a tenant's settings for a second

    newcomer.done("customers", "create", "amina")
    lines = newcomer.done("events", "tail", "--after", "0", "--until", "3").splitlines()

    assert len(lines) == 3
    profile = profile_of(newcomer)
    assert profile["signing_key"]["id"] == made["request_signing_key_id"]
    unsigned = newcomer.run(
        "balances", RELI_URL=running_stack.rest_url, RELI_KEY=profile["api_key"]
    )
    assert unsigned.code == 1
    assert "SIGNATURE_MISSING" in unsigned.err


def test_another_machine_logs_in_with_the_signing_key_that_is_there(
    running_stack: ReadyStack, newcomer: Command, tmp_path: Path
) -> None:
    newcomer.done("signing-key", "create", "--name", "backend")
    profile = profile_of(newcomer)
    seed = base64.urlsafe_b64decode(profile["signing_key"]["seed"] + "=")
    pem = tmp_path / "key.pem"
    pem.write_bytes(
        Ed25519PrivateKey.from_private_bytes(seed).private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        )
    )

    newcomer.done(
        *("login", "--profile", "elsewhere", "--url", running_stack.rest_url, "--key-stdin"),
        *("--signing-key-id", profile["signing_key"]["id"], "--signing-key-file", str(pem)),
        stdin=profile["api_key"],
    )

    assert profile_of(newcomer)["signing_key"] == profile["signing_key"]
    newcomer.done("customers", "create", "amina")


def test_who_logs_in_again_keeps_the_signing_key(
    running_stack: ReadyStack, newcomer: Command
) -> None:
    newcomer.done("signing-key", "create")
    before = profile_of(newcomer)

    newcomer.done(
        *("login", "--url", running_stack.tls_url, "--ca", running_stack.tls_certificate),
        "--key-stdin",
        stdin=before["api_key"],
    )

    assert profile_of(newcomer) == before


async def test_a_key_that_only_reads_can_log_in_and_is_told_what_it_lacks(
    running_stack: ReadyStack, newcomer: Command
) -> None:
    async with rest(running_stack, newcomer) as session:
        body = {"name": "reader", "scopes": ["SCOPE_READ"]}
        async with session.post("/v1/apiKeys", json=body) as response:
            secret = (await response.json())["secret"]
    words = ("login", "--profile", "reader", "--url", running_stack.rest_url, "--key-stdin")

    told = newcomer.run(*words, "--json", stdin=secret)
    refused = newcomer.run("customers", "create", "amina")

    assert told.code == 0
    assert "scopes" not in told.document
    assert refused.code == 1
    assert "SCOPE_MISSING" in refused.err
