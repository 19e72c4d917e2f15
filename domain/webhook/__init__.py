"""Webhooks: a tenant's endpoints, and the events that are delivered to them."""
