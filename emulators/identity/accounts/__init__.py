"""Accounts and their passwords: what people and administrators do to them."""
