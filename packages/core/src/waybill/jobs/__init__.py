"""Defining jobs: what a job is, and what its handler takes."""
