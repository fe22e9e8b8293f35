"""The custom resources as Python values: frozen, decoded once, every problem named."""
