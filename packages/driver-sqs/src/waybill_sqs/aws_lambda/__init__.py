"""Jobs in AWS Lambda: an edge of the core, as its command line is, and the only part of this package that runs jobs.

The driver's own modules import nothing from here.
"""

from .worker import LambdaWorker, bootstrap_worker

__all__ = ["LambdaWorker", "bootstrap_worker"]
