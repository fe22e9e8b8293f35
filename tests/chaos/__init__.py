"""Chaos: random decisions of people, under random faults, with checked traffic throughout."""
