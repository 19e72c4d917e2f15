"""The front door: REST and gRPC through Envoy."""
