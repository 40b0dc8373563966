"""Owns the pure core: no files, clock, randomness or environment. Never waits."""
