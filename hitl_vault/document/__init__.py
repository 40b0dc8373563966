"""Owns the Markdown face of a request: a view and a ballot. Never reads a file, clock or setting."""
