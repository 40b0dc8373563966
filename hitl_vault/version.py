"""Owns the version number. Never imports anything."""

__version__ = "0.1.0"
