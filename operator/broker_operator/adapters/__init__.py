"""The outside world behind the Protocols of `broker_operator.ports`.

Only the composition root imports from here. Each adapter keeps its library to itself: its types,
exceptions, threads and time limits end where the port begins.
"""
