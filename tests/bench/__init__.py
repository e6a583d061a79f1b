"""Measurements, never tests: ``python -m tests.bench``. See ``docs/performance.md``."""
