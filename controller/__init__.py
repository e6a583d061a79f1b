"""Batchkeeper keeps batches of jobs going on a shared cluster: bounded, retried and explained.

Imports point inward: `__main__` and `cli` → `app` → the adapters and the passes → `ports` → `core`.
`docs/architecture.md` says where each rule lives; `controller/core/model.py` holds the glossary.
"""

__version__ = "0.1.0"
