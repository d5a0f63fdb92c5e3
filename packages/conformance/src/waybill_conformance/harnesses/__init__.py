"""Harnesses of the drivers that have no package of their own."""
