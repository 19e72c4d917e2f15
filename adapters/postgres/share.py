"""How one look at the events of many tenants is shared among those who have some waiting."""

from typing import Final

EVEN_SHARE: Final = """
    SELECT max(ceil(($1 - earlier) / sharers::numeric))::bigint
    FROM (
        SELECT sum(waiting) OVER by_size - waiting AS earlier,
            count(*) OVER () - row_number() OVER by_size + 1 AS sharers
        FROM behind WINDOW by_size AS (ORDER BY waiting, tenant_id)
    ) AS sizes
"""
"""The most that a look for `$1` events takes of a tenant, from `behind (tenant_id, waiting)`.

Who has less waiting than an even share leaves the rest to the others, so that a look is full
whenever `$1` events wait, be they of one tenant or of many. Rounded up: the look finds up to one
event of each tenant too many, and cuts the last ones off.
"""
