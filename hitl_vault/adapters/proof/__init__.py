"""Owns the adapters that judge what shows who answered."""
