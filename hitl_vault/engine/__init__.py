"""Owns the engine: waiting, desk, display, timers. Opens no file, socket or thread."""
