"""The SQS driver of Waybill: background jobs on Amazon SQS, standard and FIFO, in workers and in Lambda."""

from .driver import SqsDriver
from .options import SqsOptions
from .scheduler_handler import create_scheduler_handler

__all__ = ["SqsDriver", "SqsOptions", "create_scheduler_handler"]
