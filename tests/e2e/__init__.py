"""End to end: a real mongod, real processes, real files; each run judged by the oracle afterwards."""
