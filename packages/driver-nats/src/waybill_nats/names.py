"""What streams, consumers and subjects are called.

Everything of a namespace begins with its name. A queue is a stream; in it a message's subject says what the message
waits for, and ends with its id:

    waybill.emails.0.<id>                ready, of level 0
    waybill.emails.later.<due>.<id>      parked until due
    waybill.emails.timed.<due>.<id>      scheduled by the server until due
"""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import Final

from waybill.errors import ConfigurationError

_NAMESPACE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,31}")
_UNSAFE: Final = re.compile(rb"[^A-Za-z0-9_-]")
_ESCAPED: Final = re.compile(r"=([0-9A-F]{2})")
_LONGEST: Final = 200
LATER: Final = "later"
TIMED: Final = "timed"


def token(text: str) -> str:
    """Any text as one token of a subject: letters, digits, '_' and '-' stay, other bytes become =XX."""
    escaped = _UNSAFE.sub(lambda found: b"=%02X" % found[0][0], text.encode("utf-8", "surrogatepass")).decode()
    return escaped if 0 < len(escaped) <= _LONGEST else f"=H{digest(text)}"


def key_token(text: str) -> str:
    """As `token`, and `key_text` finds the text again, whatever its length."""
    return _UNSAFE.sub(lambda found: b"=%02X" % found[0][0], text.encode("utf-8", "surrogatepass")).decode() or "="


def key_text(name: str) -> str:
    """What `key_token` was made of."""
    if name == "=":
        return ""
    raw = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), name).encode("latin-1")
    return raw.decode("utf-8", "surrogatepass")


def digest(text: str) -> str:
    """Short, and another for every other text."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=20).hexdigest()


class Names:
    """The names under one namespace."""

    def __init__(self, namespace: str) -> None:
        if not _NAMESPACE.fullmatch(namespace):
            raise ConfigurationError(
                f"nats: the namespace {namespace!r} must be 1 to 32 letters, digits or '-': write nats://host/shop"
            )
        self.namespace = namespace
        self.bucket = f"KV_{namespace}"
        """The stream of the key-value bucket that has the namespace's name."""
        self.values = f"$KV.{namespace}"
        # A queue's name begins with a letter or digit, so that no queue can be called so.
        self.dead = f"{namespace}__dead"
        self.letters = f"{namespace}._dead"

    # A queue's name has no '=', which stands in for its dots.

    def stream(self, queue: str) -> str:
        return f"{self.namespace}_{queue.replace('.', '=')}"

    def queue_of(self, stream: str) -> str | None:
        """The queue that this stream is, if it is one."""
        start, _, name = stream.partition("_")
        return None if start != self.namespace or not name or name[0] == "_" else name.replace("=", ".")

    def root(self, queue: str) -> str:
        return f"{self.namespace}.{queue.replace('.', '=')}"

    def ready(self, queue: str, level: int, message_id: str) -> str:
        return f"{self.root(queue)}.{level}.{token(message_id)}"

    def waiting(self, queue: str, how: str, due: int, message_id: str) -> str:
        """Until *due*, microseconds since 1970; *how*: LATER or TIMED."""
        return f"{self.root(queue)}.{how}.{due:016d}.{token(message_id)}"

    def letters_of(self, queue: str) -> str:
        """The dead letters that were filed under a queue; <queue they came from>.<id> follows."""
        return f"{self.letters}.{queue.replace('.', '=')}"

    def unique(self, queue: str, key: str) -> str:
        """Who holds a unique key."""
        return f"{self.unique_of(queue)}.{digest(key)}"

    def unique_of(self, queue: str) -> str:
        return f"{self.values}.unique.{queue.replace('.', '=')}"

    def unspent(self, queue: str, seq: int, stored: int) -> str:
        """How many deliveries of a message do not count."""
        return f"{self.values}.unspent.{queue.replace('.', '=')}.{seq}-{stored}"

    def state(self, key: str) -> str:
        return f"{self.values}.state.{key_token(key)}"
