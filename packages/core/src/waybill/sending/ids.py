"""Job ids: unique without a broker's help, and in the order of their making."""

from __future__ import annotations

import os
import time
from random import Random

# Of our own, as an application may seed the shared one. Unique is enough: nobody has to be kept from guessing.
_noise = Random()  # noqa: S311
# Two of the digit's bits are noise, the others say that this is such a UUID.
_VARIANT = dict(zip("0123456789abcdef", "89ab" * 4, strict=True))
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_noise.seed)


def new_job_id() -> str:
    """A UUID version 7 as 36 characters (RFC 9562, 5.7)."""
    time_part = f"{time.time_ns() // 1_000_000:012x}"
    noise = f"{_noise.getrandbits(74):019x}"
    return f"{time_part[:8]}-{time_part[8:]}-7{noise[:3]}-{_VARIANT[noise[3]]}{noise[4:7]}-{noise[7:]}"
