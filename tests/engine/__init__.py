"""Holes that somebody looked for on paper and found: each is played here, so that none comes back."""
