"""`kubectl brokers`: what people see of their clusters, and decide, through the Kubernetes API."""
