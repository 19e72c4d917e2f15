"""Between the protobuf messages and the domain: pure functions, nothing else."""
