"""The pure part: decisions about brokers and partitions.

Standard library only; no clock, no I/O.
"""
