"""Rules that choose LPs."""

from adapters.wire.enum import enum_messages, enum_values, read_enum
from domain.routing import RoutingRule
from reli.type.v1 import routing_pb2

ROUTING_RULE_MESSAGE = enum_messages(RoutingRule, routing_pb2.RoutingRule, "ROUTING_RULE")
_RULE_OF = enum_values(RoutingRule, routing_pb2.RoutingRule, "ROUTING_RULE")


def read_routing_rule(number: int) -> RoutingRule:
    return read_enum(_RULE_OF, number, field="routings.rule")
