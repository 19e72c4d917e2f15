"""How a command ends: what went wrong in words, or in JSON, and the exit code.

0 it is done; 1 it was refused; 2 it was asked wrongly; 3 nobody knows whether it happened.
"""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import grpc
import typer

from adapters.openapi.remedies import remedy_of
from app.partner.profile import ProfileProblem
from app.partner.screen import Screen, printable
from reli_client import EventGap, Refusal
from reli_client.refusal import DOMAIN

REFUSED: Final = 1
USAGE: Final = 2
UNKNOWN: Final = 3

_ERROR_INFO: Final = "type.googleapis.com/google.rpc.ErrorInfo"
_RETRY_INFO: Final = "type.googleapis.com/google.rpc.RetryInfo"
_OUR_DOMAIN: Final = "cli.reli.dev"
"""Of reasons that this command gives; those of the platform are `reli.dev`."""


class UsageProblem(Exception):
    """The command cannot mean anything as it was typed."""


class NotFound(Exception):
    """What was named is not there."""


class OutcomeUnknown(Exception):
    """It may have happened or not.

    Attributes:
        command: finds out, and does it no second time.
        cause: what was heard instead of an answer, if anything.
    """

    def __init__(self, text: str, command: Sequence[str], cause: Refusal | None = None) -> None:
        super().__init__(text)
        self.command = shlex.join(command)
        self.cause = cause


@contextmanager
def reported(screen: Screen) -> Iterator[None]:
    """Tell what ended the block, and end the command with its exit code."""
    try:
        yield
    except (UsageProblem, ProfileProblem) as e:
        complain(screen, grpc.StatusCode.INVALID_ARGUMENT, str(e))
        raise typer.Exit(USAGE) from None
    except NotFound as e:
        complain(screen, grpc.StatusCode.NOT_FOUND, str(e))
        raise typer.Exit(REFUSED) from None
    except EventGap as e:
        complain(screen, grpc.StatusCode.DATA_LOSS, str(e))
        raise typer.Exit(REFUSED) from None
    except OutcomeUnknown as e:
        _tell(screen, _words_of_unknown(e), _status_of_unknown(e))
        raise typer.Exit(UNKNOWN) from None
    except Refusal as e:
        _tell(screen, _words(e), status_of(e))
        raise typer.Exit(REFUSED) from None


@contextmanager
def moving(command: Sequence[str]) -> Iterator[None]:
    """Around a call that has an effect: what ends it without an answer is OutcomeUnknown.

    Args:
        command: the same call under the same request id, as it is typed.
    """
    try:
        yield
    except Refusal as e:
        if not e.is_in_doubt:
            raise
        raise OutcomeUnknown(f"no answer: {e}", command, e) from e
    except KeyboardInterrupt as e:
        raise OutcomeUnknown("interrupted before there was an answer", command) from e


def status_of(refusal: Refusal) -> Mapping[str, Any]:
    """Return a refusal as the google.rpc.Status that the REST face answers."""
    details: list[Mapping[str, Any]] = []
    if refusal.reason:
        details.append(_error_info(refusal.reason, DOMAIN, refusal.metadata))
    if refusal.wait_s:
        details.append({"@type": _RETRY_INFO, "retry_delay": f"{refusal.wait_s:g}s"})
    return _status(refusal.code, refusal.message, details)


def _status_of_unknown(unknown: OutcomeUnknown) -> Mapping[str, Any]:
    cause = unknown.cause
    ours = _error_info("OUTCOME_UNKNOWN", _OUR_DOMAIN, {"command": unknown.command})
    return _status(
        cause.code if cause else grpc.StatusCode.UNKNOWN,
        str(unknown),
        [ours, *(status_of(cause)["details"] if cause else ())],
    )


def _status(
    code: grpc.StatusCode, message: str, details: Sequence[Mapping[str, Any]] = ()
) -> Mapping[str, Any]:
    return {"code": code.value[0], "message": message, "details": list(details)}


def _error_info(reason: str, domain: str, metadata: Mapping[str, str]) -> Mapping[str, Any]:
    return {"@type": _ERROR_INFO, "reason": reason, "domain": domain, "metadata": dict(metadata)}


def _words(refusal: Refusal) -> list[str]:
    said = [str(refusal)]
    if refusal.reason:
        said.append(remedy_of(refusal.reason, code=refusal.code.name, retry=refusal.retry))
    return [line for line in said if line]


def _words_of_unknown(unknown: OutcomeUnknown) -> list[str]:
    return [
        str(unknown),
        "It may have happened or not. This finds out, and does it no second time:",
        f"  {unknown.command}",
    ]


def complain(screen: Screen, code: grpc.StatusCode, text: str) -> None:
    """Say what is wrong without ending the command."""
    _tell(screen, [text], _status(code, text))


def _tell(screen: Screen, lines: Sequence[str], status: Mapping[str, Any]) -> None:
    screen.note_document(status)
    for line in lines:
        screen.note("reli: ", printable(line))
