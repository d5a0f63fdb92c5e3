"""Another process on the same broker: `python -m waybill_conformance.peer URL send|hold|work QUEUE COUNT`.

It prints the ids of its messages, one a line as each is done, then "ready", and stays as it is until it is killed.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta

from waybill.driver import Message
from waybill.drivers import open_driver
from waybill.envelope import Envelope, encode

PATIENCE = timedelta(seconds=1)


def say(line: str) -> None:
    """Tell the suite, at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def main(url: str, part: str, queue: str, count: int) -> None:
    """Play the part, and stand still."""
    driver = open_driver(url)
    await driver.open()
    if part == "send":
        for number in range(count):
            job_id = f"{queue}-{number}"
            await driver.enqueue(Message(job_id, queue, encode(Envelope(job_name="conformance", job_id=job_id))))
            say(job_id)
    else:
        left = count
        while left and (got := await driver.receive(queue, limit=min(left, 10), wait=PATIENCE)):
            for each in got:
                if part == "work":
                    await driver.ack(each)
                say(each.message.id)
                left -= 1
    say("ready")
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
