"""A function with an event source mapping, on an emulator that has both: nobody here plays Lambda's part."""

import io
import json
import sys
import time
import zipfile
from collections import Counter

import boto3
import pytest
from botocore.config import Config

import waybill
import waybill_sqs
from waybill.url import BrokerUrl
from waybill_conformance.brokers import broker_or_skip

APP = """
import os
from waybill import JobService, PermanentJobError, Retry, job
from waybill_sqs import bootstrap_worker

def note(*words):
    with open(os.environ["TRACE"], "a") as trace:
        trace.write(" ".join(map(str, words)) + "\\n")

@job(retry=Retry(max_attempts=3, backoff="1s"))
async def step(payload, ctx):
    note("run", payload, ctx.attempt)
    if payload == "fails":
        raise RuntimeError("no")
    if payload == "hopeless":
        raise PermanentJobError("never")

service = JobService(jobs=[step], services=lambda: note("made", os.getpid()))
lambda_handler = bootstrap_worker(service)
"""
ROLE = "arn:aws:iam::000000000000:role/jobs"
PATIENCE = 40  # seconds


@pytest.fixture
def endpoint():
    broker = broker_or_skip("ministack", how="process", services="sqs,lambda")
    yield dict(BrokerUrl.parse(broker.url).query)["endpoint_url"]
    broker.stop()


@pytest.fixture
def client(endpoint):
    made = []

    def make(service):
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        config = Config(read_timeout=PATIENCE, retries={"total_max_attempts": 1})
        made.append(boto3.client(service, "us-east-1", endpoint_url=endpoint, config=config, **keys))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def trace(tmp_path):
    def read():
        return (tmp_path / "trace").read_text().splitlines() if (tmp_path / "trace").exists() else []

    return read


@pytest.fixture
def function(client, endpoint, tmp_path):
    """The application above as a function of that name."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as code:
        code.writestr("app.py", APP)
    folders = [path for path in sys.path if path.endswith("site-packages")]
    folders += [str(next(iter(each.__path__)).rpartition("/")[0]) for each in (waybill, waybill_sqs)]
    variables = {
        "WAYBILL_URL": f"sqs://us-east-1?endpoint_url={endpoint}&create=never",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "TRACE": str(tmp_path / "trace"),
        "PYTHONPATH": ":".join(folders),
    }
    client("lambda").create_function(
        FunctionName="jobs",
        Runtime=f"python3.{sys.version_info.minor}",
        Role=ROLE,
        Handler="app.lambda_handler",
        Code={"ZipFile": archive.getvalue()},
        Timeout=20,
        Environment={"Variables": variables},
    )
    return "jobs"


def test_a_mapped_queue_is_worked_off_with_retries_and_dead_letters(client, function, trace):
    sqs = client("sqs")
    dead = sqs.create_queue(QueueName="waybill-default-dead")["QueueUrl"]
    queue = sqs.create_queue(QueueName="waybill-default", Attributes={"VisibilityTimeout": "120"})["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    client("lambda").create_event_source_mapping(
        EventSourceArn=arn, FunctionName=function, BatchSize=10, FunctionResponseTypes=["ReportBatchItemFailures"]
    )
    for each in ("one", "fails", "hopeless", "two"):
        sqs.send_message(QueueUrl=queue, MessageBody=json.dumps({"jobName": "step", "payload": each}))

    def ran():
        return Counter(line.removeprefix("run ") for line in trace() if line.startswith("run "))

    wanted = Counter(["one 1", "two 1", "hopeless 1", "fails 1", "fails 2", "fails 3"])
    begun = time.monotonic()
    while ran() != wanted and time.monotonic() - begun < PATIENCE:
        time.sleep(0.1)
    assert ran() == wanted  # long before the visibility timeout

    made = Counter(line for line in trace() if line.startswith("made"))
    assert set(made.values()) == {1}  # in each of the containers

    reasons = []
    while len(reasons) < 2 and time.monotonic() - begun < PATIENCE:
        answer = sqs.receive_message(QueueUrl=dead, MessageAttributeNames=["All"], WaitTimeSeconds=1)
        told = [each["MessageAttributes"]["waybill-reason"]["StringValue"] for each in answer.get("Messages", [])]
        reasons += [json.loads(each)["code"] for each in told]
    assert sorted(reasons) == ["exhausted", "permanent"]
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    assert set(sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=names)["Attributes"].values()) == {"0"}


def test_a_job_by_its_name_succeeds_or_fails_as_the_function_does(client, function, trace):
    sqs = client("sqs")
    sqs.create_queue(QueueName="waybill-default")
    invoke = client("lambda").invoke
    good = invoke(FunctionName=function, Payload=json.dumps({"jobName": "step", "payload": "direct"}))
    assert json.loads(good["Payload"].read()) == {"success": True}
    bad = invoke(FunctionName=function, Payload=json.dumps({"detail": {"jobName": "step", "payload": "fails"}}))
    assert bad["FunctionError"] == "Unhandled"
    assert json.loads(bad["Payload"].read())["errorMessage"] == "no"
    assert [line for line in trace() if line.startswith("run")] == ["run direct 1", "run fails 1"]
