"""The one exception that the embedded cluster shows to people."""


class ClusterError(Exception):
    """Something about the machine or the embedded cluster is wrong; the message says what to do."""
