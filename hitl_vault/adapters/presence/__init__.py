"""Owns the adapters that show that a process lives."""
