"""Checked traffic: Kafka records that prove for themselves that none was lost.

Every record names its producer, topic, partition and sequence number, so that whoever reads a
partition can tell a gap from a duplicate from a swap. Runs inside the Kubernetes cluster (image
`broker-operator/traffic`), because brokers advertise the DNS names of their pods.
"""
