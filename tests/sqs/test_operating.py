"""What an operator has: doctor, the commands, and a worker that starts and stops."""

import asyncio
import os
import signal
import subprocess
import sys
from datetime import timedelta

from botocore.loaders import JSONFileLoader

from waybill import JobService, Worker, job

from .conftest import TABLE

SOON = timedelta(seconds=5)


def command(*words, url, **options):
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "waybill", *words],
        env={**os.environ, "WAYBILL_URL": url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def url_of(endpoint, prefix, **options):
    more = "".join(f"&{name}={value}" for name, value in options.items())
    return f"sqs://test:s3cr3t@us-east-1?endpoint_url={endpoint}&prefix={prefix}&poll=1s{more}"


async def test_doctor_tells_what_may_lose_jobs_and_how_to_mend_it(driver, aws, prefix):
    short = {"MessageRetentionPeriod": "3600", "MaximumMessageSize": "1024"}
    await asyncio.to_thread(lambda: aws.sqs.create_queue(QueueName=f"{prefix}-q", Attributes=short))
    told = {note.fact: note for note in await driver.diagnose()}
    found = " | ".join(told)
    assert "keeps messages for 0.0416667 days" in found
    assert "takes 1024 bytes" in found
    assert "has no dead-letter queue" in found
    assert "its own visibility timeout is 30 s" in found
    assert all(note.cure for note in told.values() if note.level in ("warning", "error"))


async def test_doctor_stops_a_worker_whose_queue_is_of_the_other_kind(connect, aws, prefix):
    attributes = {"FifoQueue": "true"}
    await asyncio.to_thread(lambda: aws.sqs.create_queue(QueueName=f"{prefix}-q.fifo", Attributes=attributes))
    url = await asyncio.to_thread(lambda: aws.sqs.get_queue_url(QueueName=f"{prefix}-q.fifo")["QueueUrl"])
    driver = await connect(queues={"q": url})
    assert [note.level for note in await driver.diagnose() if "FIFO queue" in note.fact and "is " in note.fact] == [
        "error"
    ]


async def test_doctor_of_one_who_may_not_look_says_so(connect, faulty):
    driver = await connect(faulty.url)
    faulty.fail("ListQueues", "AccessDenied", status=403)
    notes = await driver.diagnose()
    assert [note.level for note in notes] == ["ok", "info"]
    assert "may not do that" in notes[1].fact


async def test_a_worker_runs_retries_and_gives_up_jobs(endpoint, prefix):
    ran = []

    @job(queue="q", retry=2)
    async def fail(number: int) -> None:
        ran.append(number)
        raise LookupError("no")

    @job(queue="q")
    async def work(number: int) -> None:
        ran.append(number)

    async with JobService(url_of(endpoint, prefix), jobs=[fail, work]) as service:
        await service.check()
        await service.enqueue(fail, 1)
        await service.enqueue(work, 2)
        await service.enqueue_in(work, 3, "1s")
        async with Worker(service) as worker:
            for _ in range(100):
                if len(ran) == 4:
                    break
                await asyncio.sleep(0.1)
            await worker.stop()
        assert sorted(ran) == [1, 1, 2, 3]
        [letter] = (await service.dead_letters("q")).entries
        assert letter.reason.code == "exhausted"


def test_the_scheduler_command_sends_what_is_due_and_ends_when_it_is_told_to(endpoint, prefix, aws):
    url = url_of(endpoint, prefix, scheduler="dynamodb", table=TABLE)
    with command("sqs", "scheduler", url=url) as process:
        line = process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        rest = process.communicate(timeout=20)
    assert "sending what is due" in line
    assert process.returncode == 0
    assert "s3cr3t" not in line + "".join(rest)


def test_the_scheduler_command_without_a_table_says_what_to_write(endpoint, prefix):
    with command("sqs", "scheduler", url=url_of(endpoint, prefix)) as process:
        _, told = process.communicate(timeout=20)
    assert process.returncode == 2
    assert "table=" in told
    assert told.count("\n") == 1


def test_the_commands_for_sqs_refuse_another_broker():
    with command("sqs", "scheduler", url="memory://") as process:
        _, told = process.communicate(timeout=20)
    assert process.returncode == 2
    assert "SQS" in told


def test_a_scheduled_job_is_taken_back_by_command(endpoint, prefix, aws):
    url = url_of(endpoint, prefix, scheduler="dynamodb", table=TABLE)

    @job(queue="q")
    def later() -> None: ...

    async def send():
        async with JobService(url, jobs=[later]) as service:
            return (await service.enqueue_in(later, None, "2h")).job_id

    job_id = asyncio.run(send())
    for code, said in ((0, "will not start"), (1, "is not with the scheduler")):
        with command("sqs", "cancel", "q", job_id, url=url) as process:
            out, err = process.communicate(timeout=20)
        assert process.returncode == code
        assert said in out + err


async def test_a_further_driver_of_a_process_reads_no_description_of_aws_again(connect, monkeypatch):
    await connect()
    read, load = [], JSONFileLoader.load_file
    monkeypatch.setattr(JSONFileLoader, "load_file", lambda self, path: read.append(path) or load(self, path))
    await (await connect()).queues()
    assert read == []
