"""Statements and breaks."""

from datetime import datetime

from google.protobuf.duration_pb2 import Duration

from adapters.wire.amount import SIDE_MESSAGE, amount_message, time_message
from adapters.wire.enum import enum_messages, enum_values, read_enum
from domain.reconciliation.break_ import Break, BreakState, LateFill
from domain.reconciliation.resolution import BreakResolution, ResolutionKind
from domain.reconciliation.statement import Source, SourceKind, Statement, StatementFormat
from reli.reconciliation.v1 import break_pb2, statement_pb2

_STATE = enum_messages(BreakState, break_pb2.BreakState, "BREAK_STATE")
_RESOLUTION_KIND = enum_messages(
    ResolutionKind, break_pb2.BreakResolutionKind, "BREAK_RESOLUTION_KIND"
)
_SOURCE_KIND = enum_messages(SourceKind, statement_pb2.SourceKind, "SOURCE_KIND")
_SOURCE_KINDS = enum_values(SourceKind, statement_pb2.SourceKind, "SOURCE_KIND")
_FORMAT = enum_messages(StatementFormat, statement_pb2.StatementFormat, "STATEMENT_FORMAT")
_FORMATS = enum_values(StatementFormat, statement_pb2.StatementFormat, "STATEMENT_FORMAT")


def break_message(found: Break, *, now: datetime | None = None) -> break_pb2.Break:
    """Return the break, and its age where `now` is given."""
    return break_pb2.Break(
        id=str(found.id),
        kind=found.kind,
        trade_id=str(found.trade_id or ""),
        amount=amount_message(found.amount),
        detail=found.detail,
        raise_time=time_message(found.raised_at),
        late_fill=_late_fill_message(found.late_fill) if found.late_fill else None,
        source=source_message(found.source) if found.source else None,
        state=_STATE[found.state],
        owner=found.owner,
        note=found.note,
        age=_age_message(found, now) if now else None,
        resolution=_resolution_message(found.resolution) if found.resolution else None,
    )


def statement_message(statement: Statement) -> statement_pb2.Statement:
    return statement_pb2.Statement(
        id=str(statement.id),
        source=source_message(statement.source),
        format=_FORMAT[statement.format],
        start_time=time_message(statement.starts_at),
        end_time=time_message(statement.ends_at),
        imported_by=statement.imported_by,
        import_time=time_message(statement.imported_at),
        lines=statement.lines,
        known_lines=statement.known,
        matched_lines=statement.matched,
        waiting_lines=statement.waiting,
        breaks_raised=statement.breaks_raised,
        breaks_resolved=statement.breaks_resolved,
        is_repeat=statement.is_repeat,
    )


def source_message(source: Source) -> statement_pb2.Source:
    return statement_pb2.Source(kind=_SOURCE_KIND[source.kind], name=source.name)


def read_source_kind(number: int) -> SourceKind:
    """Return the kind, or raise `InvalidArgument`."""
    return read_enum(_SOURCE_KINDS, number, field="source.kind")


def read_format(number: int) -> StatementFormat:
    """Return the format, or raise `InvalidArgument`."""
    return read_enum(_FORMATS, number, field="format")


def _late_fill_message(fill: LateFill) -> break_pb2.LateFill:
    return break_pb2.LateFill(
        attempt_id=str(fill.attempt_id),
        lp=fill.lp,
        venue_order_id=fill.venue_order_id,
        side=SIDE_MESSAGE[fill.side],
        base_amount=amount_message(fill.base),
        quote_amount=amount_message(fill.quote),
    )


def _age_message(found: Break, now: datetime) -> Duration:
    ended = (found.resolution.resolved_at if found.resolution else None) or now
    age = Duration()
    age.FromTimedelta(ended - found.raised_at)
    return age


def _resolution_message(resolution: BreakResolution) -> break_pb2.BreakResolution:
    adjustment = resolution.adjustment
    entry_id = adjustment.entry_id if adjustment else resolution.linked_entry_id
    return break_pb2.BreakResolution(
        id=str(resolution.id),
        kind=_RESOLUTION_KIND[resolution.kind],
        note=resolution.note,
        entry_id=str(entry_id or ""),
        linked_break_id=str(resolution.linked_break_id or ""),
        counter_account_id=str(adjustment.counter_account_id) if adjustment else "",
        proposed_by=str(resolution.proposed_by or ""),
        propose_time=time_message(resolution.proposed_at),
        approved_by=str(resolution.approved_by or ""),
        approve_time=time_message(resolution.approved_at),
    )
