"""The routes of other approval services, in their own shapes, over the same engine.

docs/compatibility.md says which they are, and which request goes to which of them.
"""
