"""The demo: a real cluster scaled 3 -> 4 -> 3 under checked traffic, while you watch."""
