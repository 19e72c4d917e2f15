"""Bodies that show how a call looks; a test sends each of them, with ids that are there."""

from collections.abc import Mapping
from typing import Any, Final

CUSTOMER: Final = "customer_01h455vb4pex5vsknk084sn02q"
"""Stands for a customer of the reader's own."""

EXAMPLES: Final[Mapping[str, Mapping[str, Any]]] = {
    "AcceptQuote": {"request_id": "order-4711-accept"},
    "CancelQuote": {"request_id": "order-4711-cancel"},
    "CreateApiKey": {"name": "price screen", "scopes": ["SCOPE_READ", "SCOPE_QUOTES"]},
    "CreateCustomer": {"external_id": "amina", "request_id": "signup-amina"},
    "CreateDeposit": {
        "customer_id": CUSTOMER,
        "amount": {"value": "2000000.00", "asset": "NGN"},
        "request_id": "deposit-1",
    },
    "CreateQuote": {
        "customer_id": CUSTOMER,
        "side": "SIDE_BUY",
        "base_asset": "BTC",
        "quote_asset": "NGN",
        "base_amount": {"value": "0.01", "asset": "BTC"},
        "ttl": "10s",
    },
    "CreateTenant": {
        "slug": "savanna",
        "display_name": "Savanna Pay",
        "branding": {"primary_color": "#0B6E4F"},
        "settings": {
            "platform_fee_bps": 20,
            "markups": [{"instrument": "BTC-NGN", "bps": 50}],
        },
    },
    "CreateTenantApiKey": {"name": "backend"},
    "SuspendCustomer": {"request_id": "case-12-suspend"},
    "UpdateCurrentTenant": {
        "display_name": "Savanna Pay",
        "quote_ttl": "10s",
        "markups": [{"instrument": "BTC-NGN", "bps": 50}],
    },
    "UpdateTenantTerms": {"platform_fee_bps": 25},
}
"""By the operation's id."""
