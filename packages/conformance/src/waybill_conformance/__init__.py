"""Proves or refutes what a Waybill driver claims: `pytest --pyargs waybill_conformance --driver redis`."""

from .harness import LEASE, Harness

__all__ = ["LEASE", "Harness"]
