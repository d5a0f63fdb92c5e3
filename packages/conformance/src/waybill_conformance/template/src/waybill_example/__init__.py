"""A driver of Waybill for example:// URLs."""

from .driver import ExampleDriver

__all__ = ["ExampleDriver"]
