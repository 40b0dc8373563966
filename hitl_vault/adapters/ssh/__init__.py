"""Owns the adapters for SSH keys: whose they are, signing and checking."""
