"""Calls of AWS from the event loop: boto3 in threads, each call with a deadline.

Long polls have threads and a client of their own, so that sending and settling never wait behind them.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final, Literal

from waybill.errors import ConfigurationError

from .address import Address
from .failures import UnansweredError, closed
from .options import SqsOptions

Service = Literal["sqs", "dynamodb", "scheduler", "lambda"]
THREADS: Final = 8
"""More pay nothing: above four, boto3 is bound by the interpreter's lock."""
POLLERS: Final = 64
_CONNECT: Final = 5.0  # seconds
_TICK: Final = 0.002
_logger: Final = logging.getLogger("waybill.sqs")


class Aws:
    """The clients of one open driver, and their threads."""

    def __init__(self, address: Address, options: SqsOptions) -> None:
        self.address, self.options = address, options
        self.closing = False
        self._timeout = options.timeout.total_seconds()
        self._loop = asyncio.get_running_loop()
        self._pid = os.getpid()
        self._members: list[threading.Thread] = []
        enter = partial(_enter, self._members)
        self._threads = ThreadPoolExecutor(THREADS, "waybill-sqs", enter)
        self._pollers = ThreadPoolExecutor(POLLERS, "waybill-sqs-poll", enter)
        self._clients: dict[str, Any] = {}
        self._making = threading.Lock()

    @property
    def where(self) -> str:
        return self.address.where

    def check_caller(self) -> None:
        """Raise unless this is the loop that opened the driver.

        Raises:
            DriverClosedError: it is closed, or being closed.
            ConfigurationError: it belongs to another event loop, or to the process this one was forked from.
        """
        if os.getpid() != self._pid or asyncio.get_running_loop() is not self._loop:
            raise ConfigurationError(
                "this SQS driver was opened by another event loop or process; give a URL or a factory of drivers, "
                "so that each has its own"
            )
        if self.closing:
            raise closed()

    async def call(self, verb: str, service: Service = "sqs", /, **arguments: Any) -> dict[str, Any]:
        """Make one call of a service.

        Raises:
            botocore's errors.
            UnansweredError: no answer came in time.
        """
        started = False

        def work() -> dict[str, Any]:
            nonlocal started
            started = True
            answer: dict[str, Any] = getattr(self._client(service), verb)(**arguments)
            return answer

        try:
            async with asyncio.timeout(self._timeout):
                return await self._loop.run_in_executor(self._threads, work)
        except RuntimeError:  # the threads have ended
            raise closed() from None
        except TimeoutError:
            raise UnansweredError(self._timeout, sent=started) from None

    def poll(self, arguments: dict[str, Any], unwanted: Callable[[Any, dict[str, Any]], object]) -> asyncio.Future[Any]:
        """Begin one ReceiveMessage, which nothing can end before its time.

        *unwanted* is called in its thread, with a client and the answer, if the event loop has ended meanwhile.
        """
        future: asyncio.Future[Any] = self._loop.create_future()

        def settle(answer: dict[str, Any] | None, error: Exception | None) -> None:
            if error is not None:
                future.set_exception(error)
                future.exception()
            else:
                future.set_result(answer)

        def work() -> None:
            answer, error = None, None
            client: Any = None
            try:
                client = self._client("poll")
                answer = client.receive_message(**arguments)
                answer |= {"taken": time.monotonic(), "asked": arguments["QueueUrl"]}
            except Exception as failure:
                error = failure
            try:
                self._loop.call_soon_threadsafe(settle, answer, error)
            except RuntimeError:  # the loop was closed, and nobody closed the driver
                if answer is not None:
                    unwanted(client, answer)

        try:
            self._pollers.submit(work)
        except RuntimeError:  # the threads have ended
            raise closed() from None
        return future

    async def prepare(self) -> None:
        """Make the clients of SQS, which reads files and takes a while."""
        for name in ("sqs", "poll"):
            await self._loop.run_in_executor(self._threads, self._client, name)

    async def end(self, patience: float = 0) -> None:
        """Take no more, and wait for the threads a little; what is under way then ends by itself."""
        self._threads.shutdown(wait=False)
        self._pollers.shutdown(wait=False)
        for client in self._clients.values():
            if client is not self.address.client:
                client.close()  # a call that is still under way is not disturbed
        end = self._loop.time() + patience
        while any(each.is_alive() for each in self._members) and self._loop.time() < end:  # noqa: ASYNC110
            await asyncio.sleep(_TICK)  # a thread has no event that it sets when it has ended

    def _client(self, name: Service | Literal["poll"]) -> Any:
        """In a thread: the client of a service."""
        client = self._clients.get(name)
        if client is None:
            with self._making:
                client = self._clients.get(name)
                if client is None:
                    client = self._clients[name] = self._make(name)
        return client

    def _make(self, name: Service | Literal["poll"]) -> Any:
        from botocore.config import Config

        service = "sqs" if name == "poll" else name
        if service == "sqs" and self.address.client is not None:
            return self.address.client
        patience = self._timeout + (self.options.poll.total_seconds() if name == "poll" else 0)
        config = Config(
            connect_timeout=min(_CONNECT, self._timeout),
            read_timeout=patience,
            max_pool_connections=POLLERS if name == "poll" else THREADS,
            retries={"total_max_attempts": 1, "mode": "standard"},  # a driver's verb does not repeat itself
            tcp_keepalive=True,
            parameter_validation=False,  # what is asked is made here; a tenth of a call's time
        )
        return self.address.make_client(service, self.options, config)


def _enter(members: list[threading.Thread]) -> None:
    """In a thread, when it begins; it knows nothing of a driver that nobody closes, so that this one can go."""
    members.append(threading.current_thread())
