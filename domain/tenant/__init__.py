"""Tenants, their customers and their keys."""
