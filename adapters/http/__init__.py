"""HTTP for whoever sends much and waits for it: to venues and to webhook endpoints."""
