"""What kind of filesystem a file is on."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

_NAMES = "afs beegfs ceph cifs fuse.glusterfs fuse.s3fs fuse.sshfs glusterfs gpfs lustre ncpfs nfs nfs4 smb2 smb3 smbfs"
NETWORKED: Final = frozenset(_NAMES.split())
"""Those on which SQLite's write-ahead log does not work."""


_OCTAL: Final = re.compile(r"\\(\d{3})")  # a space in a mount point is written \040


def filesystem_of(path: str, mounts: Path = Path("/proc/self/mountinfo")) -> str | None:
    """The type of the filesystem, as Linux names it; None: this system does not tell."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return None
    best, kind = "", None
    for line in lines:
        fields = line.split()
        point = _OCTAL.sub(lambda found: chr(int(found[1], 8)), fields[4])
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):  # a later mount hides an earlier one
            best, kind = point, fields[fields.index("-") + 1]
    return kind
