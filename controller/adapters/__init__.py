"""Adapters: one port, one technology each; errors are translated at this edge."""
