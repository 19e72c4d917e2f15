"""The `reli` command."""

import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from app.partner.command import add_partner_commands

if TYPE_CHECKING:
    from app.settings import Settings
    from app.stack.stack import ReadyStack

# Commands import what they need when they run: `--help` is instant, and the process that
# supervises a stack stays small.
cli = typer.Typer(
    help="Quotes, trades and books for fintechs.",
    pretty_exceptions_enable=False,
    no_args_is_help=True,
)
_FOR_OPERATORS: Final = "For operators"
_TO_RUN: Final = "To run the platform"
add_partner_commands(cli)
ledger = typer.Typer(help="Take the books out, and check them.", no_args_is_help=True)
cli.add_typer(ledger, name="ledger", rich_help_panel=_FOR_OPERATORS)
lp = typer.Typer(help="Liquidity providers.", no_args_is_help=True)
cli.add_typer(lp, name="lp", rich_help_panel=_FOR_OPERATORS)
sandbox = typer.Typer(help="Stand-ins for others.", no_args_is_help=True)
cli.add_typer(sandbox, name="sandbox", rich_help_panel=_TO_RUN)
screen = Console(highlight=False, soft_wrap=True)
errors = Console(highlight=False, soft_wrap=True, stderr=True)

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _Stopped(BaseException):
    """Someone asked us to end."""


class _Misconfigured(typer.TyperException):
    """An environment variable is missing or wrong."""

    exit_code = 2


@cli.command(rich_help_panel=_TO_RUN)
def up(
    home: Annotated[Path, typer.Option(help="Where the stack keeps its state.")] = Path(".reli"),
    port_base: Annotated[
        int | None,
        typer.Option(min=1024, max=65_000, help="The first of its ports; without it, free ones."),
    ] = None,
    ready_file: Annotated[
        Path | None, typer.Option(help="A file that exists while REST answers, and says where.")
    ] = None,
    serve: Annotated[int, typer.Option(min=1, max=32, help="How many gRPC servers.")] = 1,
    work: Annotated[int, typer.Option(min=0, max=32, help="How many workers.")] = 1,
    venue: Annotated[
        list[str] | None,
        typer.Option(
            help="A sandbox venue and its wire format, such as okx=okx. May be repeated; the first "
            "has the best price. Without it alpha and beta, of the sandbox's own format.",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print what the ready file says, nothing else.")
    ] = False,
) -> None:
    """Run the whole stack until Ctrl-C."""
    from app.stack.process import StackFailure
    from app.stack.ready_file import ReadyFile
    from app.stack.stack import DEFAULT_VENUES, Stack, StackOptions

    def show_progress(part: str, seconds: float) -> None:
        if not as_json:
            screen.print(f"[green]✓[/] {part:<10}[dim]{seconds:6.2f} s[/]")

    options = StackOptions(
        home=home,
        port_base=port_base,
        serve_processes=serve,
        work_processes=work,
        database_url=os.environ.get("RELI_DATABASE_URL") or None,
        nats_url=os.environ.get("RELI_NATS_URL") or None,
        venues=_venues(venue) if venue else DEFAULT_VENUES,
        # Only who needs them has the settings loaded.
        cors_origins=_settings().cors_origins if "RELI_CORS_ORIGINS" in os.environ else (),
    )
    _on_stop_signals(_stop)
    try:
        with Stack(options, on_started=show_progress) as s, ReadyFile(ready_file) as announcement:
            try:
                ready = s.start()
                announcement.write(ready.to_json())
                _announce(ready, as_json=as_json)
                s.watch()
            finally:
                # From here on the parts are stopped in order; impatience must not cut it short.
                _on_stop_signals(signal.SIG_IGN)
    except _Stopped:
        pass
    except StackFailure as e:
        errors.print(f"[red]✗[/] {escape(str(e))}")
        raise typer.Exit(1) from None


@cli.command(rich_help_panel=_TO_RUN)
def serve() -> None:
    """Run one gRPC server."""
    settings = _settings("app_database_url")
    from app.serve import serve

    _run(lambda: serve(settings))


@cli.command(rich_help_panel=_TO_RUN)
def work() -> None:
    """Run one worker."""
    settings = _settings("work_database_url", "nats_url")
    from app.work import work

    _run(lambda: work(settings))


@cli.command(rich_help_panel=_FOR_OPERATORS)
def migrate(
    operator_key_file: Annotated[
        Path | None, typer.Option(help="Also make the operator's key, once, and keep it here.")
    ] = None,
) -> None:
    """Bring the database up to date."""
    settings = _settings("database_url")
    from adapters.postgres.migrate import upgrade

    upgrade(
        settings.database_url,
        settings.app_database_url,
        settings.work_database_url,
        settings.environment,
    )
    if operator_key_file is not None:
        from app.bootstrap import ensure_operator_key

        key_file = operator_key_file
        _run(lambda: ensure_operator_key(settings, key_file))


@cli.command(rich_help_panel=_TO_RUN)
def sandbox_venue(
    name: Annotated[str, typer.Option(help="The venue's name.")],
    port: Annotated[int, typer.Option(min=1, max=65_535, help="Where it trades.")],
    admin_port: Annotated[int, typer.Option(min=1, max=65_535, help="Where it is told how.")],
    data: Annotated[Path, typer.Option(help="Where it remembers its orders.")],
    position: Annotated[int, typer.Option(min=1, help="1 is the best price, 2 the next …")] = 1,
    face: Annotated[
        str, typer.Option(help="Its wire format, such as okx; without it the sandbox's own.")
    ] = "sandbox",
) -> None:
    """Run a stand-in for a liquidity provider."""
    from adapters.lp.sandbox.venue import FACES, run_venue

    if face not in FACES:
        raise _Misconfigured(f"--face must be one of {', '.join(FACES)}")
    _run(
        lambda: run_venue(
            name=name, port=port, admin_port=admin_port, data_dir=data, position=position, face=face
        )
    )


@sandbox.command()
def venues(
    formats: Annotated[
        list[str] | None,
        typer.Argument(help="Their wire formats, such as okx; all of them if none."),
    ] = None,
    port_base: Annotated[
        int | None,
        typer.Option(
            min=1024,
            max=65_000,
            help="The first of their ports, two for each; without it, free ones.",
        ),
    ] = None,
    data: Annotated[Path, typer.Option(help="Where they remember their orders.")] = Path(
        ".reli/venues"
    ),
) -> None:
    """Run local stand-ins for liquidity providers until Ctrl-C, one for each wire format."""
    from adapters.lp.sandbox.venue import FACES, VenuePorts, run_venues

    chosen = tuple(formats or FACES)
    if unknown := [name for name in chosen if name not in FACES]:
        raise _Misconfigured(f"{unknown[0]} is none of {', '.join(FACES)}")

    def announce(ports: VenuePorts) -> None:
        screen.print(
            f"[green]✓[/] {ports.venue.name:<10} http://127.0.0.1:{ports.public}  "
            f"[dim]admin http://127.0.0.1:{ports.admin}[/]"
        )
        for field, value in ports.venue.face.settings.items():
            text = value if isinstance(value, str) else json.dumps(value)
            screen.print(f"  [dim]{field:<28} {escape(text)}[/]")

    _run(lambda: run_venues(chosen, port_base=port_base, data_dir=data, on_ready=announce))


@lp.command()
def certify(
    adapter: Annotated[str, typer.Argument(help="Such as okx; `all` for every one.")],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON, one document a line.")
    ] = False,
) -> None:
    """Judge an adapter against its local venue: 0 it keeps every rule, 1 it does not."""
    from app.certify.command import run
    from app.certify.subject import SUBJECTS

    if adapter not in (*SUBJECTS, "all"):
        raise _Misconfigured(f"the adapter must be all or one of {', '.join(SUBJECTS)}")
    kept: list[bool] = []

    async def certify() -> None:
        names = list(SUBJECTS) if adapter == "all" else [adapter]
        kept.extend([await run(name, as_json=as_json) for name in names])

    _run(certify)
    if not kept or not all(kept):
        raise typer.Exit(1)


@cli.command(rich_help_panel=_TO_RUN)
def demo(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Watch a customer's trades from quote to audited books."""
    from app.demo.run import run

    if not run(as_json=as_json):
        raise typer.Exit(1)


@cli.command(rich_help_panel=_FOR_OPERATORS)
def openapi(
    operator: Annotated[
        bool, typer.Option("--operator", help="What operators may call, not what partners may.")
    ] = False,
) -> None:
    """Print the REST face as an OpenAPI 3.1 document."""
    import json

    from adapters.envoy.descriptor import commented_set_path
    from adapters.openapi.document import openapi_document

    document = openapi_document(commented_set_path().read_bytes(), for_operators=operator)
    screen.print(json.dumps(document, indent=2, ensure_ascii=False), markup=False)


@cli.command(rich_help_panel=_FOR_OPERATORS)
def audit(
    venue_books: Annotated[
        list[str] | None,
        typer.Option(
            "--venue-book",
            metavar="NAME=URL",
            help="A sandbox venue's admin port, to compare its book with ours. May be repeated.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Check all that must hold in the books: 0 it holds, 1 it does not, 2 could not look."""
    settings = _settings("database_url")
    books = dict(text.partition("=")[::2] for text in venue_books or ())
    if not all(name and url.startswith("http") for name, url in books.items()):
        raise _Misconfigured("--venue-book must be NAME=URL, such as alpha=http://127.0.0.1:7001")
    from app.audit.command import command

    raise typer.Exit(command(settings.database_url, books, as_json=as_json))


@ledger.command()
def export(
    tenant: Annotated[str, typer.Argument(help="The tenant's id.")],
    file: Annotated[Path, typer.Argument(help="Where its books are written.")],
) -> None:
    """Write a tenant's books, as far as checkpoints cover them, into a file of JSON lines."""
    settings = _settings("app_database_url")
    from app.ledger.command import export

    _run_or_say(partial(export, settings, tenant, file))


@ledger.command()
def verify(
    file: Annotated[Path, typer.Argument(help="An export; or a proof or a close, as JSON.")],
    jwks: Annotated[Path, typer.Argument(help="What /.well-known/jwks.json said.")],
    entry: Annotated[
        str,
        typer.Option("--entry", "--customer", help="Also prove that this one is in it."),
    ] = "",
) -> None:
    """Check an export, a proof or a daily close: 0 it holds, 1 it does not, 2 could not look."""
    from app.ledger.command import verify

    raise typer.Exit(verify(file, jwks, entry))


@ledger.command()
def close(
    tenant: Annotated[str, typer.Argument(help="The tenant's id.")],
    day: Annotated[str, typer.Option(help="A day that is over (UTC), such as 2026-03-02.")],
) -> None:
    """Print the daily close of a tenant's book, signed, as GetDailyClose answers it."""
    settings = _settings("app_database_url")
    from app.ledger.command import print_close

    _run_or_say(partial(print_close, settings, tenant, day))


def _run_or_say(ask: Callable[[], Awaitable[str]]) -> None:
    """Run until it ends; what it returns is wrong, and the end of the command."""
    wrong: list[str] = []

    async def run() -> None:
        wrong.append(await ask())

    _run(run)
    if wrong != [""]:
        errors.print(escape(f"reli: {wrong[0] if wrong else 'stopped'}"))
        raise typer.Exit(1)


def main() -> NoReturn:
    """Run the command line; what is wrong with it is said in one line."""
    try:
        sys.exit(cli(standalone_mode=False))
    except typer.TyperException as e:
        if message := e.format_message():  # there is none when help was shown instead
            errors.print(escape(f"reli: {message}"))
        sys.exit(e.exit_code)
    except typer.Abort:
        sys.exit(130)


def _announce(ready: "ReadyStack", *, as_json: bool) -> None:
    if as_json:
        screen.print(ready.to_json(), markup=False)
        return
    screen.print(
        f"\n[bold]Reli is up.[/] Ctrl-C stops it.\n\n"
        f"  REST          {ready.rest_url}\n"
        f"  docs          {ready.rest_url}/docs\n"
        f"  gRPC          {ready.grpc_target}\n"
        f"  both by TLS   {ready.tls_url}\n"
        f"  operator key  {ready.operator_key}\n"
    )


def _venues(texts: Sequence[str]) -> Mapping[str, str]:
    """Read the wire formats of venues, such as `okx=okx`, by name."""
    from adapters.lp.sandbox.venue import FACES, NAME

    venues = dict(text.partition("=")[::2] for text in texts)
    if len(venues) != len(texts) or not all(map(NAME.fullmatch, venues)):
        raise _Misconfigured("--venue must be NAME=FORMAT, each name once, such as okx=okx")
    if unknown := [name for name in venues.values() if name not in FACES]:
        raise _Misconfigured(f"{unknown[0] or 'no format'} is none of {', '.join(FACES)}")
    return venues


def _settings(*needed: str) -> "Settings":
    from pydantic import ValidationError
    from pydantic_settings import SettingsError

    from app.settings import Settings

    try:
        settings = Settings()
    except ValidationError as e:
        problem = e.errors(include_url=False, include_input=False)[0]
        variable = "_".join(str(part) for part in problem["loc"]).upper()
        raise _Misconfigured(f"RELI_{variable}: {problem['msg']}") from None
    except SettingsError as e:
        raise _Misconfigured(f"{e}: not valid JSON") from None
    for field in needed:
        if not getattr(settings, field):
            raise _Misconfigured(f"RELI_{field.upper()} is not set")
    return settings


def _run(make: Callable[[], Coroutine[Any, Any, object]]) -> None:
    """Run a coroutine to its end, or until a signal cancels it."""
    import asyncio

    import uvloop

    async def run() -> None:
        loop = asyncio.get_running_loop()
        task = loop.create_task(make())
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, task.cancel)
        with suppress(asyncio.CancelledError):
            await task

    uvloop.run(run())


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    raise _Stopped


def _on_stop_signals(action: Callable[[int, FrameType | None], object] | signal.Handlers) -> None:
    for number in _STOP_SIGNALS:
        # Under `nohup` a hang-up is to be ignored.
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, action)


if __name__ == "__main__":
    main()
