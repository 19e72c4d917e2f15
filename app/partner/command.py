"""The commands of a partner: what they are called and what they take.

What they do is in the modules beside, which are imported when a command runs: nothing of the
platform is, since a partner has none.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from app.partner.completion import instrument_codes, profile_names

if TYPE_CHECKING:
    from app.partner.api import Api
    from app.partner.screen import Screen

PANEL: Final = "For partners"

ProfileName = Annotated[
    str | None,
    typer.Option(
        "--profile",
        help="Who calls; without it RELI_PROFILE, or the current profile.",
        autocompletion=profile_names,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, named as in the REST face.")]
RequestId = Annotated[
    str | None,
    typer.Option(
        "--request-id",
        help="The id of a call whose answer was lost: it is the same call, with one effect. "
        "Without it a new one is made and told on standard error.",
    ),
]
OfCustomer = Annotated[
    str,
    typer.Option("--customer", help="An id, or your own id of the customer; yourself without."),
]
Instrument = Annotated[
    str, typer.Argument(help="Such as BTC-NGN.", autocompletion=instrument_codes)
]
BaseAmount = Annotated[
    str, typer.Argument(metavar="[AMOUNT]", help="How much of the base asset, such as 0.01 BTC.")
]
Pay = Annotated[
    str, typer.Option("--pay", help="For buy: how much is paid, all in, instead of AMOUNT.")
]
Receive = Annotated[
    str,
    typer.Option("--receive", help="For sell: how much is received, all in, instead of AMOUNT."),
]
Limit = Annotated[int, typer.Option(min=1, max=10_000, help="How many at most, the newest first.")]
EventTypes = Annotated[
    list[str] | None,
    typer.Option(help="Such as trade.settled, or 'trade.*'. May be repeated; all without it."),
]


class Side(StrEnum):
    """Which way the base asset goes, from the customer."""

    BUY = "buy"
    SELL = "sell"


class TradeState(StrEnum):
    """How far a trade is."""

    PENDING = "pending"
    OUTCOME_UNKNOWN = "outcome-unknown"
    SETTLED = "settled"
    REJECTED = "rejected"


customers = typer.Typer(help="Your end users.", no_args_is_help=True)
trades = typer.Typer(help="Accepted quotes, and what became of them.", no_args_is_help=True)
events = typer.Typer(help="The log of all that happened.", no_args_is_help=True)
webhook = typer.Typer(help="Events that are sent to you.", no_args_is_help=True)
signing_key = typer.Typer(help="Keys that sign your calls.", no_args_is_help=True)


def add_partner_commands(cli: typer.Typer) -> None:
    """Give the command line what partners call."""
    for command in (login, logout, profiles, use, quote, accept, trade, balances, deposit):
        cli.command(rich_help_panel=PANEL)(command)
    for name, group in (
        ("customers", customers),
        ("trades", trades),
        ("events", events),
        ("webhook", webhook),
        ("signing-key", signing_key),
    ):
        cli.add_typer(group, name=name, rich_help_panel=PANEL)


def login(
    profile: Annotated[
        str, typer.Option("--profile", help="What to call it.", autocompletion=profile_names)
    ] = "default",
    url: Annotated[str, typer.Option(help="Such as https://api.example.com.")] = "",
    ca: Annotated[
        Path | None,
        typer.Option(help="Certificates in PEM to trust, instead of the system's.", dir_okay=False),
    ] = None,
    key_stdin: Annotated[
        bool, typer.Option("--key-stdin", help="Read the API key from standard input.")
    ] = False,
    ready_file: Annotated[
        Path | None,
        typer.Option(
            help="Of a local `reli up`: makes a tenant there, and logs in as it.", dir_okay=False
        ),
    ] = None,
    sign: Annotated[
        bool, typer.Option("--sign", help="Also make a key, and sign every call with it.")
    ] = False,
    signing_key_id: Annotated[
        str, typer.Option(help="A key that is registered already, to sign every call with ...")
    ] = "",
    signing_key_file: Annotated[
        Path | None, typer.Option(help="... and its private half, Ed25519 in PEM.", dir_okay=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check an API key, and keep it for the commands that follow.

    It is kept in $XDG_CONFIG_HOME/reli (or ~/.config/reli), readable by you alone. Without a login
    RELI_URL, RELI_KEY and RELI_CA, a file, say the same.
    """
    with _reported(as_json) as screen:
        from app.partner.login import Asked, log_in

        log_in(
            screen,
            Asked(
                profile=profile,
                url=url,
                ca=ca,
                key_stdin=key_stdin,
                ready_file=ready_file,
                signing_key_id=signing_key_id,
                signing_key_file=signing_key_file,
            ),
            sign=sign,
        )


def logout(
    profile: ProfileName = None,
    everywhere: Annotated[bool, typer.Option("--all", help="Forget all of them.")] = False,
    as_json: AsJson = False,
) -> None:
    """Forget the API key of a profile. It stays valid: revoke it where it was made."""
    with _reported(as_json) as screen:
        from app.partner.login import log_out

        log_out(screen, profile, everywhere=everywhere)


def profiles(as_json: AsJson = False) -> None:
    """List the profiles, the current one marked."""
    with _reported(as_json) as screen:
        from app.partner.login import list_profiles

        list_profiles(screen)


def use(
    profile: Annotated[str, typer.Argument(metavar="NAME", autocompletion=profile_names)],
    as_json: AsJson = False,
) -> None:
    """Make a profile the current one."""
    with _reported(as_json) as screen:
        from app.partner.login import use_profile

        use_profile(screen, profile)


@signing_key.command("create")
def create_signing_key(
    name: Annotated[
        str, typer.Option(help="What people call it; the profile's name without.")
    ] = "",
    profile: ProfileName = None,
    as_json: AsJson = False,
) -> None:
    """Make a key, register its public half, and sign every call of the profile from now on."""
    with _connected(profile, as_json) as (api, screen):
        from app.partner.login import create_signing_key

        create_signing_key(api, screen, name)


def quote(
    instrument: Instrument,
    side: Annotated[Side, typer.Argument(help="From the customer.")],
    amount: BaseAmount = "",
    pay: Pay = "",
    receive: Receive = "",
    customer: OfCustomer = "",
    indicative: Annotated[
        bool, typer.Option("--indicative", help="Only look: a price that is promised to nobody.")
    ] = False,
    profile: ProfileName = None,
    as_json: AsJson = False,
) -> None:
    """Ask for a firm price, which `reli accept` takes until it expires.

    Nothing is held and nothing moves. With --indicative it is a price to look at, which cannot be
    accepted.
    """
    with _connected(profile, as_json) as (api, screen):
        from app.partner.quote import Wanted, show_indicative, show_quote

        wanted = Wanted.of(instrument, side, amount=amount, pay=pay, receive=receive)
        if indicative:
            show_indicative(api, screen, wanted, customer)
        else:
            show_quote(api, screen, wanted, customer)


def accept(
    quote_id: Annotated[str, typer.Argument(help="As `reli quote` told it.")],
    request_id: RequestId = None,
    profile: ProfileName = None,
    as_json: AsJson = False,
) -> None:
    """Accept a quote and wait for its end. This moves money.

    Ends with 0 settled, 1 refused or rejected, 3 not known: then it says which command finds out.
    """
    with _connected(profile, as_json) as (api, screen):
        from app.partner.trade import accept_quote

        accept_quote(api, screen, quote_id, request_id)


def trade(
    instrument: Instrument,
    side: Annotated[Side, typer.Argument(help="From the customer.")],
    amount: BaseAmount = "",
    pay: Pay = "",
    receive: Receive = "",
    customer: OfCustomer = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Accept without asking.")] = False,
    request_id: RequestId = None,
    profile: ProfileName = None,
    as_json: AsJson = False,
) -> None:
    """Quote, ask you, accept, and wait for the end. This moves money.

    Ends with 0 settled, 1 refused, rejected or declined, 3 not known: then it says which command
    finds out. Under the same --request-id it is the same quote and the same trade.
    """
    with _connected(profile, as_json) as (api, screen):
        from app.partner.quote import Wanted
        from app.partner.trade import trade

        wanted = Wanted.of(instrument, side, amount=amount, pay=pay, receive=receive)
        trade(api, screen, wanted, customer, yes=yes, request_id=request_id)


def balances(
    customer: Annotated[
        str, typer.Argument(help="An id, or your own id of the customer; your accounts without.")
    ] = "",
    profile: ProfileName = None,
    as_json: AsJson = False,
) -> None:
    """Show what a customer has, or every account of your books."""
    with _connected(profile, as_json) as (api, screen):
        from app.partner.balance import show_accounts, show_balances

        if customer:
            show_balances(api, screen, customer)
        else:
            show_accounts(api, screen)


def deposit(
    amount: Annotated[str, typer.Argument(help="Such as 2000000.")],
    asset: Annotated[str, typer.Argument(help="Such as NGN.")],
    customer: OfCustomer = "",
    request_id: RequestId = None,
    profile: ProfileName = None,
    as_json: AsJson = False,
) -> None:
    """Credit play money. Only a sandbox gives it away."""
    with _connected(profile, as_json) as (api, screen):
        from app.partner.balance import deposit

        deposit(api, screen, amount, asset, customer, request_id)


@customers.command("list")
def list_customers(
    limit: Limit = 50,
    profile: ProfileName = None,
    as_json: AsJson = False,
) -> None:
    """List your customers."""
    with _connected(profile, as_json) as (api, screen):
        from app.partner.customer import list_customers

        list_customers(api, screen, limit)


@customers.command("create")
def create_customer(
    external_id: Annotated[str, typer.Argument(help="Your own id of the customer.")],
    request_id: RequestId = None,
    profile: ProfileName = None,
    as_json: AsJson = False,
) -> None:
    """Create a customer under your own id."""
    with _connected(profile, as_json) as (api, screen):
        from app.partner.customer import create_customer

        create_customer(api, screen, external_id, request_id)


@trades.command("list")
def list_trades(
    customer: Annotated[
        str, typer.Option(help="Only of this one: an id, or your own id of the customer.")
    ] = "",
    state: Annotated[TradeState | None, typer.Option(help="Only in this state.")] = None,
    limit: Limit = 50,
    profile: ProfileName = None,
    as_json: AsJson = False,
) -> None:
    """List trades."""
    with _connected(profile, as_json) as (api, screen):
        from app.partner.trade import list_trades

        list_trades(api, screen, customer, state, limit)


@trades.command("show")
def show_trade(
    trade_id: Annotated[str, typer.Argument(help="As `reli trades list` tells it.")],
    profile: ProfileName = None,
    as_json: AsJson = False,
) -> None:
    """Show a trade, its attempts and why its price, and verify its receipt here.

    Ends with 1 where the receipt or the evidence is not what the platform signed.
    """
    with _connected(profile, as_json) as (api, screen):
        from app.partner.evidence import show_trade

        show_trade(api, screen, trade_id)


@events.command()
def tail(
    after: Annotated[
        int | None,
        typer.Option(
            min=0, help="Begin after this sequence, 0 at the very first; from now without."
        ),
    ] = None,
    until: Annotated[int | None, typer.Option(min=1, help="End with this sequence.")] = None,
    types: EventTypes = None,
    profile: ProfileName = None,
    as_json: AsJson = False,
) -> None:
    """Print events as they happen, one a line, until Ctrl-C.

    A stream that is cut is opened again where it ended: none is lost and none comes twice.
    """
    with _connected(profile, as_json) as (api, screen):
        from app.partner.event import tail

        tail(api, screen, after=after, until=until, types=types or [])


@webhook.command()
def listen(
    port: Annotated[
        int, typer.Option(min=0, max=65_535, help="Where on 127.0.0.1; a free one without.")
    ] = 0,
    types: EventTypes = None,
    forward: Annotated[
        str, typer.Option(help="Also hand each verified delivery on to this URL, as it came.")
    ] = "",
    secret_stdin: Annotated[
        bool,
        typer.Option(
            "--secret-stdin",
            help="Of an endpoint that exists, and whose deliveries you lead here: read its secret.",
        ),
    ] = False,
    profile: ProfileName = None,
    as_json: AsJson = False,
) -> None:
    """Receive webhooks here and print the verified events, one a line, until Ctrl-C.

    Creates an endpoint for this machine, which a local sandbox allows, and deletes it at the end.
    """
    with _reported(as_json) as screen:
        from app.partner.webhook import Listening, listen, listen_with_secret

        listening = Listening(port=port, types=tuple(types or ()), forward=forward)
        if secret_stdin:
            listen_with_secret(screen, listening)
        else:
            with _api(profile, screen) as api:
                listen(api, screen, listening)


@contextmanager
def _connected(profile: str | None, as_json: bool) -> Iterator[tuple["Api", "Screen"]]:
    with _reported(as_json) as screen, _api(profile, screen) as api:
        yield api, screen


@contextmanager
def _reported(as_json: bool) -> Iterator["Screen"]:
    from app.partner.outcome import reported
    from app.partner.screen import Screen

    screen = Screen(as_json=as_json)
    with reported(screen):
        yield screen


@contextmanager
def _api(profile: str | None, screen: "Screen") -> Iterator["Api"]:
    from app.partner.api import open_api
    from app.partner.profile import chosen_profile

    with open_api(chosen_profile(profile, os.environ)) as api:
        yield api
