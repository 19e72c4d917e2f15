"""NATS JetStream: wakes and carries, decides nothing."""
