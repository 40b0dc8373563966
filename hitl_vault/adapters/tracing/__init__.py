"""Adapters of the port `Tracer`."""
