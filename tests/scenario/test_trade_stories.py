"""Stories of trades, from the accept to the books, told in `trade/*.txt`.

    accept SIDE BASE for LP_AMOUNT [fee BPS] [markup BPS] [lps NAME,NAME]
    prepare | send [LP_AMOUNT] | settle | reject
    filled LP_AMOUNT | rejected REASON | lp_expired | not_sent REASON | absent | unknown REASON
    wait SECONDS

Each result is: state of the trade, state of the latest attempt and its LP, what comes next.
"""

from pathlib import Path

import pytest

from domain.asset import Asset
from domain.ids import AttemptId, TransferId
from domain.ledger.account import UNLIMITED_KINDS, Account, AccountKind
from domain.ledger.entry import Entry
from domain.ledger.transfer import Transfer, TransferKind
from domain.side import Side
from domain.trade import settlement
from domain.trade.outcome import Absent, NotSent, Outcome, Rejected, Unknown
from domain.trade.settlement import Movement, Role
from domain.trade.trade import Trade
from tests.support.book import Book
from tests.support.builders import (
    BTC,
    NGN,
    NOW,
    a_fill,
    a_quote,
    a_trade,
    an_account,
    an_entry,
    an_id,
    btc,
    ngn,
    seconds,
    sent,
    some_terms,
)
from tests.support.story import assert_story, balance_table, words

STORIES = sorted((Path(__file__).parent / "trade").glob("*.txt"))
KIND_OF_ROLE = {
    Role.PARTY: AccountKind.CUSTOMER,
    Role.CLEARING: AccountKind.TRADE_CLEARING,
    Role.LP: AccountKind.LP,
    Role.PLATFORM_FEE: AccountKind.PLATFORM_FEE,
    Role.TENANT_MARKUP: AccountKind.TENANT_MARKUP,
    Role.SLIPPAGE: AccountKind.SLIPPAGE,
}


class Teller:
    trade: Trade

    def __init__(self) -> None:
        self.book, self.now = Book(), NOW
        self.accounts: dict[tuple[Role, Asset], Account] = {}
        for role, kind in KIND_OF_ROLE.items():
            for asset in (NGN, BTC):
                limit = None if kind in UNLIMITED_KINDS else 0
                account = an_account(kind=kind, asset=asset, overdraft_limit=limit)
                self.accounts[role, asset] = self.book.open(account)
        for asset, deposit in ((NGN, ngn("2000000.00")), (BTC, btc("1"))):
            party = self.accounts[Role.PARTY, asset]
            self.book.open(party._replace(credits_posted=deposit.units))

    def tell(self, command: str) -> str:
        verb, *rest = words(command)
        match verb:
            case "accept":
                self._accept(*rest)
            case "wait":
                self.now += seconds(int(rest[0]))
            case "prepare":
                self.trade = self.trade.prepare(an_id(AttemptId), actor="worker")
            case "send":
                lp_amount = ngn(rest[0]) if rest else None
                if lp_amount and not self.trade.is_within_tolerance(lp_amount):
                    return self._conclude(NotSent(reason="PRICE_MOVED", evidence="asked again"))
                self.trade = sent(self.trade, now=self.now, lp_amount=lp_amount)
            case "settle":
                self.trade = self.trade.settle(actor="worker", now=self.now)
                ids = self.trade.ledger_ids
                movements = settlement.settlement(self.trade)
                payment, *others = zip(ids.settlement, movements, strict=False)
                self._commit(
                    self._transfer(*payment, TransferKind.POST),
                    *(self._transfer(*other) for other in others),
                )
            case "reject":
                self.trade = self.trade.reject(actor="worker", now=self.now)
                released = settlement.release(self.trade)
                ids = self.trade.ledger_ids
                self._commit(self._transfer(ids.release, released, TransferKind.VOID))
            case _:
                return self._conclude(self._outcome(verb, *rest))
        return self._state()

    def balances(self) -> str:
        moved = {
            f"{role} {asset}": account
            for (role, asset), account in self.accounts.items()
            if self.book.accounts[account.id].version
        }
        return balance_table(self.book, moved)

    def _accept(self, side: str, base: str, _: str, lp: str, *options: str) -> None:
        chosen = dict(zip(options[::2], options[1::2], strict=True))
        terms = some_terms(
            Side(side),
            base=btc(base),
            lp_quote=ngn(lp),
            fee_bps=int(chosen.get("fee", "25")),
            markup_bps=int(chosen.get("markup", "75")),
        )
        lps = tuple(chosen.get("lps", "alpha,beta").split(","))
        self.trade = a_trade(a_quote(side=Side(side), terms=terms, lp_order=lps))
        hold = settlement.hold(self.trade)
        self._commit(self._transfer(self.trade.ledger_ids.hold, hold, TransferKind.PENDING))
        self.trade = self.trade.prepare(an_id(AttemptId), actor="accept")

    def _outcome(self, verb: str, *rest: str) -> Outcome:
        match verb:
            case "filled":
                return a_fill(self.trade, quote=ngn(rest[0]))
            case "rejected":
                return Rejected(reason=rest[0], evidence="verdict")
            case "lp_expired":
                return Rejected(reason="stale", evidence="verdict", lp_quote_expired=True)
            case "not_sent":
                return NotSent(reason=rest[0], evidence="connect")
            case "absent":
                return Absent(evidence="status")
            case "unknown":
                return Unknown(reason=rest[0], evidence="silence")
            case _:
                raise AssertionError(f"no such command: {verb}")

    def _conclude(self, outcome: Outcome) -> str:
        self.trade = self.trade.conclude(outcome, actor="worker", now=self.now)
        return self._state()

    def _state(self) -> str:
        attempt = self.trade.attempt
        reason = f", {self.trade.rejection_reason}" if self.trade.rejection_reason else ""
        step = self.trade.next_step(self.now)
        return f"{self.trade.state}{reason}; {attempt.state} at {attempt.lp}; {step}"

    def _transfer(
        self, transfer_id: TransferId, movement: Movement, kind: TransferKind = TransferKind.REGULAR
    ) -> Transfer:
        resolves = kind in {TransferKind.POST, TransferKind.VOID}
        return Transfer(
            id=transfer_id,
            debit_account_id=self.accounts[movement.debit, movement.amount.asset].id,
            credit_account_id=self.accounts[movement.credit, movement.amount.asset].id,
            amount=movement.amount,
            kind=kind,
            pending_id=self.trade.ledger_ids.hold if resolves else None,
            purpose=movement.purpose,
        )

    def _commit(self, *transfers: Transfer) -> Entry:
        return self.book.commit(an_entry(*transfers)).entry


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.stem)
def test_the_story_goes_as_it_is_told(story: Path) -> None:
    teller = Teller()

    assert_story(story, teller.tell, teller.balances)


def test_there_are_stories() -> None:
    assert len(STORIES) >= 6
