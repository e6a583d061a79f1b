"""EE2's own collection: repair and reapers on records as execution_engine2 writes them."""
