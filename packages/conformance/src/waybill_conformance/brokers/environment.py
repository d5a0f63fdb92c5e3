"""A server from PyPI, in an environment of its own: what it depends on may differ from what the tests do."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

PATIENCE = 300  # seconds for all of it


def folder(requirement: str) -> Path:
    """Where a requirement such as "ministack==1.5.33" is installed, once for all projects of a user."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "waybill" / f"{requirement.replace('==', '-')}-py{sys.version_info[0]}{sys.version_info[1]}"


def find(requirement: str, program: str) -> str | None:
    """A program that was installed before."""
    found = folder(requirement) / "bin" / program
    return str(found) if (folder(requirement) / "complete").exists() and os.access(found, os.X_OK) else None


def install(requirement: str) -> str | None:
    """Make the environment and install the requirement there; what went wrong, or None."""
    place = folder(requirement)
    try:
        place.mkdir(parents=True, exist_ok=True)
        with (place / "lock").open("w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # several test processes may want it at once
            if (place / "complete").exists():
                return None
            python = place / "bin" / "python"
            for command in (
                [sys.executable, "-m", "venv", str(place)],
                [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", requirement],
            ):
                done = subprocess.run(  # noqa: S603 - the words come from a BrokerKind
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                    check=False,
                    timeout=PATIENCE,
                )
                if done.returncode:
                    return done.stdout.strip()[-500:] or f"exit status {done.returncode}"
            (place / "complete").touch()
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return None
