"""Tenants, customers and keys."""
