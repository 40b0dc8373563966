"""The inbox: pages on which people look, answer and look back. The engine judges, as everywhere."""
