"""The names of the keys. Those of one queue share a hash tag, and so one slot of a Redis Cluster."""

from __future__ import annotations

from typing import Final

_OF_A_QUEUE: Final = (
    "jobs",  # HASH id -> record
    "ready",  # ZSET by place
    "delayed",  # ZSET by due
    "leased",  # ZSET by the end of the lease
    "info",  # HASH id -> place, attempt, token, group, key
    "heads",  # HASH group -> id
    "behind",  # ZSET in the order of its members: those that wait for the head of their group
    "unique",  # HASH key -> holder
    "windows",  # ZSET of unique keys by their end
    "seq",  # STRING, counts what was sent
    "wake",  # LIST with one token or none
    "dead",  # ZSET in the order of its members
    "letters",  # HASH member of dead -> letter
)
_OF_THE_STATE: Final = ("values", "names", "ends")


class Keys:
    """The keys under one prefix."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._known: dict[str, tuple[str, ...]] = {}
        # A queue's name has no '~', so that no queue can share a key with the state.
        self.state = tuple(f"{prefix}:{{~state}}:{name}" for name in _OF_THE_STATE)

    def of(self, *queues: str) -> tuple[str, ...]:
        """All keys of these queues, as the scripts want them."""
        if len(queues) == 1:
            return self._one(queues[0])
        return tuple(key for queue in queues for key in self._one(queue))

    def plain(self, queue: str) -> tuple[str, ...]:
        """Those that a message needs which is no more than a body."""
        jobs, ready, *_ = every = self._one(queue)
        return jobs, ready, every[9], every[10]

    def wake(self, queue: str) -> str:
        return f"{self._prefix}:{{{queue}}}:wake"

    def nudge(self, queue: str, receiver: str) -> str:
        """What wakes no receiver but one."""
        return f"{self._prefix}:{{{queue}}}:wake:{receiver}"

    @property
    def pattern(self) -> str:
        """What finds the keys of all queues; a prefix has no character that needs escaping."""
        return f"{self._prefix}:{{*}}:*"

    def queue_of(self, key: str) -> str | None:
        """The queue that holds jobs or dead letters, if this key says so."""
        name, _, what = key.removeprefix(f"{self._prefix}:{{").rpartition("}:")
        return name if what in ("jobs", "dead") else None

    def _one(self, queue: str) -> tuple[str, ...]:
        keys = self._known.get(queue)
        if keys is None:
            keys = self._known[queue] = tuple(f"{self._prefix}:{{{queue}}}:{name}" for name in _OF_A_QUEUE)
        return keys
