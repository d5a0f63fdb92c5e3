"""A program of a package from another release of the distribution: fetched by apt, unpacked, and not installed."""

import fcntl
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

SOURCES = Path("/etc/apt")
TARGETS = "$(ORIGIN) $(REPO_URI)"
SECONDS = 300


def program_of(package: str, suite: str, program: str) -> str | None:
    """The path of a package's program as that release has it ("sid" is the newest), or None if it cannot be had."""
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        return None
    folder = cache() / f"{package}-{suite}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several test processes want it at once
        if find(folder, program) is None:
            unpack(package, suite, folder)
        return find(folder, program)


def cache() -> Path:
    """Where unpacked packages stay, for the runs of one user."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "waybill-conformance"


def find(folder: Path, program: str) -> str | None:
    """The program in an unpacked package."""
    found = (path for path in folder.glob(f"root/**/{program}") if path.is_file() and os.access(path, os.X_OK))
    return next(map(str, found), None)


def unpack(package: str, suite: str, folder: Path) -> None:
    """Fetch a package by a root of apt's own, which knows that release alone."""
    source = line(suite)
    if source is None:
        return
    with tempfile.TemporaryDirectory() as place:
        for part in ("lists/partial", "cache/archives/partial", "etc"):
            (Path(place) / part).mkdir(parents=True)
        (Path(place) / "etc/sources.list").write_text(source, encoding="utf-8")
        (Path(place) / "status").touch()
        options = {
            "Dir::State::Lists": f"{place}/lists",
            "Dir::State::status": f"{place}/status",
            "Dir::Cache": f"{place}/cache",
            "Dir::Etc::SourceList": f"{place}/etc/sources.list",
            "Dir::Etc::SourceParts": "/dev/null",
            "APT::Sandbox::User": "root",
        }
        apt = ["apt-get", "-qq", *(word for name, value in options.items() for word in ("-o", f"{name}={value}"))]
        if run([*apt, "update"], place) and run([*apt, "download", package], place):
            for archive in Path(place).glob("*.deb"):
                run(["dpkg-deb", "-x", str(archive), str(folder / "root")], place)


def line(suite: str) -> str | None:
    """A source like the machine's own, of that release; None: it has none of its distribution."""
    told = subprocess.run(  # noqa: S603 - apt
        ["apt-get", "indextargets", "--format", TARGETS, "Created-By: Packages"],  # noqa: S607 - the system's
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=False,
        timeout=SECONDS,
    ).stdout
    mirrors = [uri for origin, _, uri in (each.partition(" ") for each in told.splitlines()) if origin == "Debian"]
    mirror = next((uri for uri in mirrors if "security" not in uri), None)
    if mirror is None:
        return None
    keys = keyring(mirror)
    return f"deb {f'[signed-by={keys}] ' if keys else ''}{mirror} {suite} main\n"


def keyring(mirror: str) -> str | None:
    """The keyring that the machine trusts for this mirror; None: those that it trusts for all."""
    for path in [*sorted(SOURCES.glob("sources.list.d/*")), SOURCES / "sources.list"]:
        if not path.is_file():
            continue
        for stanza in re.split(r"\n\s*\n", path.read_text(encoding="utf-8", errors="replace")):
            found = re.search(r"signed-by\s*[=:]\s*([^\s\]]+)", stanza, re.IGNORECASE)
            if found and mirror.rstrip("/") in stanza:
                return found[1]
    return None


def run(command: list[str], folder: str) -> bool:
    """Whether it went well."""
    done = subprocess.run(  # noqa: S603 - apt and dpkg
        command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=SECONDS
    )
    return done.returncode == 0
