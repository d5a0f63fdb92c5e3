"""A command that imports users: `waybill run users:import users.csv --app user_import:service`.

Started as a program it imports three users. WAYBILL_URL=redis://… runs it there.
"""

import asyncio
import csv
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

from waybill import Command, Job, JobService, ShowProgress, Worker


class User(TypedDict):
    email: str
    name: str


imported: list[str] = []


class ImportUser(Job[User]):
    queue = "imports"

    async def handle(self, payload: User) -> None:
        imported.append(payload["email"])


class ImportUsers(Command):
    key = "users:import"
    description = "Queue an import for each line of a CSV file"

    async def handle(self, service: JobService, arguments: Sequence[str]) -> None:
        lines = await asyncio.to_thread(Path(arguments[0]).read_text)
        users = [User(email=row["email"], name=row["name"]) for row in csv.DictReader(lines.splitlines())]
        await service.enqueue_many(ImportUser, users, on_progress=ShowProgress("users"))
        self.success(f"{len(users)} users are on their way")


service = JobService(os.environ.get("WAYBILL_URL", "sqlite:///imports.db"), jobs=[ImportUser], namespace="imports")


async def main() -> None:
    await asyncio.to_thread(Path("users.csv").write_text, "email,name\na@x.org,Ann\nb@x.org,Ben\nc@x.org,Cleo\n")
    async with service:
        await ImportUsers().handle(service, ["users.csv"])
        await Worker(service).run_until_idle()
    print("imported", *sorted(imported))
    assert sorted(imported) == ["a@x.org", "b@x.org", "c@x.org"]


if __name__ == "__main__":
    asyncio.run(main())
