"""Stories of the ledger, told in `ledger/*.txt`.

    open NAME KIND ASSET [OVERDRAFT]           an account
    ENTRY: transfer ID DEBIT CREDIT AMOUNT     moves at once
    ENTRY: hold ID DEBIT CREDIT AMOUNT [until SECOND]
    ENTRY: post ID of HOLD [AMOUNT]            all of it, or a part
    ENTRY: void ID of HOLD
    ENTRY: expire ID of HOLD
    wait SECONDS

An entry may have several transfers, parted by semicolons.
"""

from pathlib import Path

import pytest

from domain.amount import Amount
from domain.asset import Asset
from domain.ids import EntryId, TransferId
from domain.ledger.account import UNLIMITED_KINDS, Account, AccountKind
from domain.ledger.transfer import Transfer, TransferKind
from tests.support.book import Book
from tests.support.builders import (
    BTC,
    NGN,
    NOW,
    a_transfer,
    an_account,
    an_entry,
    an_id,
    seconds,
)
from tests.support.story import assert_story, balance_table, words

STORIES = sorted((Path(__file__).parent / "ledger").glob("*.txt"))
ASSETS: dict[str, Asset] = {asset.code: asset for asset in (NGN, BTC)}


class Teller:
    def __init__(self) -> None:
        self.book = Book()
        self.accounts: dict[str, Account] = {}
        self.entries: dict[str, EntryId] = {}
        self.transfers: dict[str, TransferId] = {}
        self.holds: dict[str, Transfer] = {}

    def tell(self, command: str) -> str:
        verb, *rest = words(command)
        if verb == "open":
            return self._open(*rest)
        if verb == "wait":
            self.book.now += seconds(int(rest[0]))
            return "ok"
        name, _, transfers = command.partition(":")
        entry = an_entry(
            *(self._transfer(*words(transfer)) for transfer in transfers.split(";")),
            id=self.entries.setdefault(name, an_id(EntryId)),
        )
        return "replay" if self.book.commit(entry).is_replay else "ok"

    def balances(self) -> str:
        return balance_table(self.book, self.accounts)

    def _open(self, name: str, kind: str, asset: str, overdraft: str = "0") -> str:
        unlimited = AccountKind(kind) in UNLIMITED_KINDS
        limit = None if unlimited else Amount.parse(overdraft, ASSETS[asset]).units
        account = an_account(kind=AccountKind(kind), asset=ASSETS[asset], overdraft_limit=limit)
        self.accounts[name] = self.book.open(account)
        return "ok"

    def _transfer(self, verb: str, name: str, *rest: str) -> Transfer:
        transfer_id = self.transfers.setdefault(name, an_id(TransferId))
        if verb in {"transfer", "hold"}:
            debit, credit, text, *until = rest
            account = self.accounts[debit]
            made = a_transfer(
                account,
                self.accounts[credit],
                Amount.parse(text, account.asset).units,
                id=transfer_id,
                kind=TransferKind.PENDING if verb == "hold" else TransferKind.REGULAR,
                expires_at=NOW + seconds(int(until[1])) if until else None,
            )
            self.holds[name] = made
            return made
        _, hold_name, *part = rest
        hold = self.holds[hold_name]
        amount = Amount.parse(part[0], hold.amount.asset) if part else hold.amount
        return hold._replace(
            id=transfer_id,
            kind=TransferKind(verb),
            amount=amount,
            pending_id=hold.id,
            expires_at=None,
        )


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.stem)
def test_the_story_goes_as_it_is_told(story: Path) -> None:
    teller = Teller()

    assert_story(story, teller.tell, teller.balances)


def test_there_are_stories() -> None:
    assert len(STORIES) >= 4
