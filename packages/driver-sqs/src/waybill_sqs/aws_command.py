"""An application on AWS: the template of its queues and of the function that runs its jobs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from waybill.cli.application import find_service
from waybill.cli.failures import CommandError
from waybill.cli.output import say
from waybill.cli.settings import Settings
from waybill.drivers import open_driver
from waybill.timing import parse_duration

from .driver import SqsDriver
from .options import SqsOptions
from .stack import Stack, template as make_template, to_yaml

__all__ = ["template"]


def template(
    settings: Settings,
    *,
    handler: Annotated[
        str, typer.Option(help="The function's handler, as Lambda wants it: module.name.")
    ] = "app.lambda_handler",
    scheduler_handler: Annotated[
        str, typer.Option(help="The handler of the function that scheduler=dynamodb needs.")
    ] = "scheduler.lambda_handler",
    runtime: Annotated[str, typer.Option(help="The function's Python.")] = "python3.12",
    code: Annotated[str, typer.Option(help="The folder or archive with the function's code.")] = ".",
    timeout: Annotated[
        str, typer.Option(help="How long a batch may take; queues hide messages for six times that.")
    ] = "60s",
    memory: Annotated[int, typer.Option(help="The function's memory, in MiB.")] = 512,
    batch_size: Annotated[int, typer.Option(help="The most messages that the function gets at once.")] = 10,
    max_concurrency: Annotated[
        int | None, typer.Option(help="The most batches of a queue at a time, from 2; no limit by default.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file to write, in place of stdout.")
    ] = None,
) -> None:
    """Print the AWS SAM template of the application: queues, dead letters, function, mapping, roles.

    The queues are those of the application's jobs; prefix, fifo, priorities and scheduler are those of its URL, if that
    is one of SQS, or of --url. The function finds its URL in WAYBILL_URL.
    """
    service = find_service(settings)
    try:
        seconds = parse_duration(timeout, bare=False)
    except ValueError as error:
        raise CommandError(f"--timeout: {error}") from error
    stack = Stack(
        queues=[service.rules.address(each) for each in service.known_queues()],
        options=_options(service.driver),
        handler=handler,
        scheduler_handler=scheduler_handler,
        runtime=runtime,
        code=code,
        timeout=seconds,
        memory=memory,
        batch_size=batch_size,
        max_concurrency=max_concurrency,
    )
    text = to_yaml(make_template(stack))
    if output is None:
        say(text.rstrip())
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CommandError(f"{output} cannot be written: {error.strerror}", exit_code=1) from error


def _options(driver: object) -> SqsOptions:
    """Those of the application's driver; the defaults where it develops on another broker."""
    if isinstance(driver, str) and driver.startswith("sqs:"):
        driver = open_driver(driver)
    return driver.options if isinstance(driver, SqsDriver) else SqsOptions()
