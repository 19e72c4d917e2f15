"""Every type that an event may have: what somebody waits for in vain is refused at once."""

from typing import Final

EVENT_TYPES: Final = frozenset(
    {
        *(f"tenant.{what}" for what in ("created", "updated", "active", "suspended", "closed")),
        *(f"api_key.{what}" for what in ("created", "revoked")),
        *(f"customer.{what}" for what in ("created", "active", "suspended", "closed")),
        *(f"quote.{what}" for what in ("created", "canceled")),
        *(f"trade.{what}" for what in ("accepted", "outcome_unknown", "settled", "rejected")),
        *("entry.committed", "entries.committed"),
        "deposit.created",
        *(f"break.{what}" for what in ("raised", "resolved")),
        *(f"dead_letter.{what}" for what in ("buried", "replayed", "replay_failed")),
        *(f"lp.circuit_{what}" for what in ("opened", "half_opened", "closed")),
        "trading_state.changed",
        *(
            f"webhook_endpoint.{what}"
            for what in (
                *("created", "updated", "enabled", "disabled", "deleted"),
                *("secret_rotated", "tested"),
            )
        ),
    }
)

NOUNS: Final = frozenset(type.partition(".")[0] for type in EVENT_TYPES)


def is_known(event_type: str) -> bool:
    """Say whether an event may have that type, or one such as `trade.*` stands for."""
    noun, _, what = event_type.partition(".")
    return event_type in EVENT_TYPES or (noun in NOUNS and what == "*")
