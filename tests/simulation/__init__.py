"""The whole engine under a virtual clock: seeded faults between any two side effects, judged by the oracle."""
