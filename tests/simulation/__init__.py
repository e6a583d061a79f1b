"""The whole engine under a virtual clock: seeded faults at any side effect, judged by the oracle."""
