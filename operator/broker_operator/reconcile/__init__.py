"""One pass over one cluster: gather -> diagnose -> steps -> status."""
