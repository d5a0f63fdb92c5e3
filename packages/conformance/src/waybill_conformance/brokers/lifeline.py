"""Cleaning up even if this process is killed."""

import subprocess
from collections.abc import Sequence


class Lifeline:
    """Runs a command as soon as this process has ended, however it did; `release` calls that off."""

    def __init__(self, argv: Sequence[str]) -> None:
        # The shell reads from a pipe that only this process holds open: its end is the sign. A word on the
        # pipe calls it off. A session of its own keeps Ctrl-C away from it.
        self._shell = subprocess.Popen(  # noqa: S603 - the words come from this package
            ["/bin/sh", "-c", 'read word || exec "$@"', "lifeline", *argv],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def release(self) -> None:
        """Call it off."""
        self._shell.communicate(b"off\n")
