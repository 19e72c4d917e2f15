"""Statements as files of formats that others know."""
