"""Deliveries over HTTP to endpoints that others run, and that may mean harm."""
