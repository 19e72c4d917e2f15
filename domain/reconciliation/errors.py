"""What reconciliation refuses."""

from domain.errors import DomainError, Kind


class BreakNotFound(DomainError):
    """No such break of this tenant."""

    kind = Kind.MISSING
    reason = "BREAK_NOT_FOUND"


class StatementTooLarge(DomainError):
    """More bytes or lines than one statement may have; split the period."""

    reason = "STATEMENT_TOO_LARGE"


class StatementEncodingInvalid(DomainError):
    """The file is not UTF-8, or says that it is something else."""

    reason = "STATEMENT_ENCODING_INVALID"


class StatementMalformed(DomainError):
    """The file is cut off, or is not what its format says; `metadata["place"]` tells where."""

    reason = "STATEMENT_MALFORMED"


class StatementEntityForbidden(DomainError):
    """The XML declares a document type, which could name entities; none is needed and none read."""

    reason = "STATEMENT_ENTITY_FORBIDDEN"


class StatementReferenceDuplicate(DomainError):
    """Two lines of the file have the same reference in the same asset."""

    reason = "STATEMENT_REFERENCE_DUPLICATE"


class StatementAssetMismatch(DomainError):
    """An asset that Reli does not have, or another one than the statement's."""

    reason = "STATEMENT_ASSET_MISMATCH"


class StatementTimeOutOfRange(DomainError):
    """A period that cannot be, or a line outside of it."""

    reason = "STATEMENT_TIME_OUT_OF_RANGE"


class StatementUnbalanced(DomainError):
    """Opening balance and lines do not add up to the closing balance."""

    reason = "STATEMENT_UNBALANCED"


class BreakResolved(DomainError):
    """The break was resolved before."""

    kind = Kind.REFUSED
    reason = "BREAK_RESOLVED"


class BreakNotAdjustable(DomainError):
    """The break is about no account of this book, so no entry can make it good."""

    kind = Kind.REFUSED
    reason = "BREAK_NOT_ADJUSTABLE"


class BreakLinkMismatch(DomainError):
    """What the break is linked to does not explain its amount."""

    kind = Kind.REFUSED
    reason = "BREAK_LINK_MISMATCH"


class BreakResolutionNotFound(DomainError):
    """No such proposal for this break."""

    kind = Kind.MISSING
    reason = "BREAK_RESOLUTION_NOT_FOUND"
