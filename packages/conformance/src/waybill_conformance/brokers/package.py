"""A server from the distribution's packages."""

import contextlib
import fcntl
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

POLICY = Path("/usr/sbin/policy-rc.d")
LOCKED = "Could not get lock"
PATIENCE = 300.0  # seconds that another installation may take


def installable() -> str | None:
    """What stands against installing packages here, or None."""
    if shutil.which("apt-get") is None:
        return "this system has no apt-get"
    if os.geteuid() != 0:
        return "only root can install a package"
    return None


def install(package: str) -> str | None:
    """Install it, its service not started; what went wrong, or None."""
    with alone(), no_services():
        failure = apt("install", "-y", "--no-install-recommends", package)
        if failure:  # most often for want of lists
            failure = apt("update") or apt("install", "-y", "--no-install-recommends", package)
    return failure


def apt(*words: str) -> str | None:
    """Run apt-get, after whoever else is at it; the end of its output if it failed, or None."""
    # RUNLEVEL: in a system of init scripts, no service starts in runlevel 1.
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1", "LC_ALL": "C"}
    end = time.monotonic() + PATIENCE
    while True:
        done = subprocess.run(  # noqa: S603 - the words come from a BrokerKind
            [shutil.which("apt-get") or "apt-get", "-qq", "-o", f"DPkg::Lock::Timeout={PATIENCE:.0f}", *words],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode == 0:
            return None
        # The lock of the lists and that of the archives are not waited for by apt itself.
        if LOCKED not in done.stdout or time.monotonic() > end:
            return done.stdout.strip()[-500:] or f"exit status {done.returncode}"
        time.sleep(1)


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """One process at a time: the policy of another's installation must not vanish during this one."""
    folder = os.open(POLICY.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


@contextlib.contextmanager
def no_services() -> Iterator[None]:
    """Meanwhile the system lets no package start its service."""
    try:
        with POLICY.open("x", encoding="ascii") as policy:
            policy.write("#!/bin/sh\nexit 101\n")
    except OSError:  # it has a policy of its own, as containers do; or it cannot have one
        yield
        return
    try:
        POLICY.chmod(0o755)
        yield
    finally:
        POLICY.unlink(missing_ok=True)
