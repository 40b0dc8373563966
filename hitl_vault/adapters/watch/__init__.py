"""Owns the ways to learn that something in a vault may have changed. Never says what changed."""
