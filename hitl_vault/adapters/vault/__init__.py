"""Owns the adapters of the vault folder port."""
