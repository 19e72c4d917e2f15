"""A story told against a real stack: one customer's trades, from quote to audited books."""
