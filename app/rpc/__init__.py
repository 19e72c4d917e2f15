"""Inbound gRPC."""
