"""Spec and layout -> manifests, one file per child.

Plain dicts, and complete: what is applied is all that the operator owns of an object.
"""
