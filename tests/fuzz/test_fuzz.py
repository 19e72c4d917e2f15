"""A short run of `make schemathesis`: enough to know that it asks, and sees what is wrong."""

from copy import deepcopy

import pytest

from app.stack.stack import ReadyStack
from tests.fuzz.campaign import Campaign
from tests.fuzz.rows import rows_of
from tests.fuzz.world import Rest

SEED = 7
CASES = 160


@pytest.fixture(scope="module")
def campaign(running_stack: ReadyStack) -> Campaign:
    return Campaign.prepared(running_stack)


def test_whatever_is_sent_is_answered_as_the_document_says(campaign: Campaign) -> None:
    report = campaign.run(cases=CASES, seed=SEED, round_of=2)

    assert report.findings == {}
    assert report.cases >= CASES
    assert report.answers["200"] > 10
    assert len(report.answers) > 5


def test_an_answer_that_is_not_as_the_document_says_is_seen(campaign: Campaign) -> None:
    lying = deepcopy(campaign.document)
    lying["paths"] = {"/v1/assets": lying["paths"]["/v1/assets"]}
    lying["components"]["schemas"]["Asset"]["required"].append("color")

    report = campaign.run(cases=3, seed=SEED, round_of=3, document=lying)

    assert [what for what in report.findings if "GET /v1/assets: JsonSchemaError" in what]


def test_a_row_of_the_other_tenant_that_changes_is_seen(
    campaign: Campaign, running_stack: ReadyStack
) -> None:
    rest = Rest(running_stack, campaign.other.key)
    before = rows_of(running_stack.database_url, campaign.other.id)
    rest.post("/v1/customers", external_id="another")
    after = rows_of(running_stack.database_url, campaign.other.id)

    assert "customers" in {table for table in before if before[table] != after[table]}
