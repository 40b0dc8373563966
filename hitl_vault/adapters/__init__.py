"""Owns the adapters: a folder a port, a file a technology. Never imports the engine."""
