"""What goes wrong, in one line for a person and one number for a script."""

from __future__ import annotations

import re
import sys
import traceback

import typer

from ..errors import (
    EnqueueValueError,
    InvalidJobPayloadError,
    InvalidQueueNameError,
    PayloadTooLargeError,
    UnknownQueueError,
    UnsupportedError,
    WaybillError,
)
from .output import plain

# What typer raises about the command line, which it gives no public name: its own copy of click has it.
_Misuse: type[Exception] = typer.BadParameter.__base__  # type: ignore[assignment]

_ARGUMENTS = (
    EnqueueValueError,
    InvalidJobPayloadError,
    InvalidQueueNameError,
    PayloadTooLargeError,
    UnknownQueueError,
    UnsupportedError,
)

_USER_INFO = re.compile(r"([A-Za-z][\w+.-]*:/{1,2})\S*@")
_SECRET_OPTION = re.compile(r"(\w*(?:password|secret|token|creds|key)\w*=)[^\s&'\"]+", re.IGNORECASE)


class CommandError(Exception):
    """A command that cannot do what was asked, and why. 2: asking again is useless; 1: it may work later."""

    def __init__(self, message: str, exit_code: int = 2) -> None:
        self.exit_code = exit_code
        super().__init__(message)


def without_secrets(text: str) -> str:
    """The text, wherever it came from, without what stands before the @ of a URL or after `password=`."""
    return _SECRET_OPTION.sub(r"\1***", _USER_INFO.sub(r"\1***@", text))


def exit_code_of(error: BaseException, *, debug: bool = False) -> int:
    """Tell an error on stderr; what the process should exit with."""
    text, code = _told(error)
    if debug and not isinstance(error, _Misuse):
        sys.stderr.write(without_secrets("".join(traceback.format_exception(error))))
    if text:
        sys.stderr.write(f"error: {without_secrets(_one_line(text))}\n")
    return code


def _told(error: BaseException) -> tuple[str, int]:
    match error:
        case KeyboardInterrupt():
            return "", 130
        case typer.Abort():
            return "stopped; nothing was changed", 1
        case CommandError():
            return str(error), error.exit_code
        case WaybillError():
            return str(error), 2 if isinstance(error, _ARGUMENTS) else 1
        case _ if isinstance(error, _Misuse):
            command = error.ctx.command_path if error.ctx else "waybill"  # type: ignore[attr-defined]
            return f"{error.format_message()} (see `{command} --help`)", 2  # type: ignore[attr-defined]
        case _:
            return f"{type(error).__name__}: {error} (--debug shows where)", 1


def _one_line(text: str) -> str:
    lines = [plain(each.strip()) for each in text.splitlines() if each.strip()]
    return "; ".join(lines).replace(":; - ", ": ").replace("; - ", "; ")
