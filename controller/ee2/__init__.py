"""Keeping EE2's own collection: repair and reapers that work on its records in place (docs/ee2.md)."""
