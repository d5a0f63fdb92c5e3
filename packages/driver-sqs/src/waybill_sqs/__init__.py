"""The SQS driver of Waybill: background jobs on Amazon SQS, standard and FIFO, in workers and in Lambda."""

from .driver import SqsDriver
from .options import SqsOptions

__all__ = ["SqsDriver", "SqsOptions"]
