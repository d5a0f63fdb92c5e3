"""The SQS driver of Waybill: background jobs on Amazon SQS, standard and FIFO, in workers and in Lambda."""

from .aws_lambda import LambdaWorker, bootstrap_worker
from .driver import SqsDriver
from .options import SqsOptions
from .scheduler_handler import create_scheduler_handler

__all__ = ["LambdaWorker", "SqsDriver", "SqsOptions", "bootstrap_worker", "create_scheduler_handler"]
