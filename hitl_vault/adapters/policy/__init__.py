"""Owns the adapters that read the policy's text."""
