"""Tests of every floor of the house."""

import os

# Our children always exec; gRPC's own handlers of a fork can abort the child before it does
# (https://github.com/grpc/grpc/issues/13998). It reads this when it is loaded.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")
