"""Waybill's jobs as files in a directory."""

from .driver import DirectoryDriver

__all__ = ["DirectoryDriver"]
