"""The pure part: words, rules and decisions. Imports the standard library and itself, nothing else."""
