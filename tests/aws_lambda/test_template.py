"""`waybill aws template`: what it writes is a valid template, and has what the driver and the function need."""

import inspect
import json
import os
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import cfnlint.api
import pytest
from cfnlint.config import ManualArgs
from cfnlint.decode.cfn_yaml import loads

from waybill import ConfigurationError, open_driver
from waybill_sqs import aws_command
from waybill_sqs.options import SqsOptions
from waybill_sqs.stack import Stack, template, to_yaml

STACKS = {
    "one queue": {"queues": ["default"]},
    "queues of all kinds of names": {"queues": ["emails", "a-b", "a.b", "a_b", "9lives", "reports.daily", "x" * 64]},
    "priorities": {"queues": ["default"], "options": SqsOptions(priorities=3)},
    "fifo": {"queues": ["default", "emails"], "options": SqsOptions(fifo=True, prefix="app")},
    "no prefix": {"queues": ["default"], "options": SqsOptions(prefix="")},
    "eventbridge": {"queues": ["default"], "options": SqsOptions(scheduler="eventbridge", role_arn="theirs")},
    "eventbridge, fifo, a group of its own": {
        "queues": ["default"],
        "options": SqsOptions(scheduler="eventbridge", role_arn="theirs", fifo=True, schedule_group="jobs"),
    },
    "dynamodb": {"queues": ["default"], "options": SqsOptions(scheduler="dynamodb", table="jobs")},
    "dynamodb, fifo": {
        "queues": ["default", "emails"],
        "options": SqsOptions(scheduler="dynamodb", table="jobs.of.mine", fifo=True),
        "scheduler_handler": "package.scheduler.handler",
    },
    "a table for unique keys, and eventbridge": {
        "queues": ["default"],
        "options": SqsOptions(scheduler="eventbridge", role_arn="theirs", table="jobs", prefix=""),
    },
    "everything set": {
        "queues": ["default"],
        "options": SqsOptions(lease=timedelta(minutes=2), timeout=timedelta(seconds=5), max_receives=50, fair="tenant"),
        "handler": "package.module.handler",
        "runtime": "python3.13",
        "code": "build/function.zip",
        "timeout": timedelta(minutes=15),
        "memory": 10_240,
        "batch_size": 1000,
        "max_concurrency": 20,
    },
}


@pytest.fixture(params=STACKS.values(), ids=STACKS)
def stack(request):
    return Stack(**request.param)


@pytest.fixture
def written(stack):
    """The template as CloudFormation reads it, its functions in their long form."""
    document, faults = loads(to_yaml(template(stack))), []
    assert not faults
    return json.loads(json.dumps(document))


def of_type(written, kind):
    return {name: each["Properties"] for name, each in written["Resources"].items() if each["Type"] == kind}


def test_it_is_valid(stack):
    found = cfnlint.api.lint(to_yaml(template(stack)), config=ManualArgs(regions=["eu-west-1", "us-east-1"]))
    assert [str(each) for each in found if each.rule.severity != "informational"] == []


def test_the_lint_would_find_a_fault():
    text = to_yaml(template(Stack(queues=["default"]))).replace("maxReceiveCount", "maxReceives")
    assert cfnlint.api.lint(text, config=ManualArgs(regions=["eu-west-1"]))


def test_every_queue_of_work_has_its_dead_letters_and_hides_messages_long_enough(stack, written):
    queues = of_type(written, "AWS::SQS::Queue")
    assert len({each["QueueName"] for each in queues.values()}) == len(queues)
    for name, each in queues.items():
        if name.endswith("DeadLetters"):
            assert "RedrivePolicy" not in each
            continue
        assert each["VisibilityTimeout"] == stack.timeout.total_seconds() * 6
        if not name.endswith("Later"):
            dead = queues[each["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0]]
            assert each["RedrivePolicy"]["maxReceiveCount"] == stack.options.max_receives
            assert dead.get("FifoQueue") == each.get("FifoQueue")


def test_every_queue_of_work_hands_batches_to_the_function_which_may_report_failures(written):
    function = of_type(written, "AWS::Serverless::Function")["JobsFunction"]
    work = {name for name in of_type(written, "AWS::SQS::Queue") if not name.endswith("DeadLetters")}
    assert {each["Properties"]["Queue"]["Fn::GetAtt"][0] for each in function["Events"].values()} == work
    for each in function["Events"].values():
        assert each["Properties"]["FunctionResponseTypes"] == ["ReportBatchItemFailures"]


def test_the_functions_url_opens_a_driver_for_exactly_those_queues(stack, written):
    functions = of_type(written, "AWS::Serverless::Function").values()
    [url] = {each["Environment"]["Variables"]["WAYBILL_URL"]["Fn::Sub"] for each in functions}
    assert written["Outputs"]["WaybillUrl"]["Value"]["Fn::Sub"] == url
    for name, value in (("${AWS::Region}", "eu-west-1"), ("${SchedulesRole.Arn}", "arn:aws:iam::1:role/r")):
        url = url.replace(name, value)
    options = open_driver(url).options
    assert options.create == "never"
    same = (
        "prefix",
        "fifo",
        "priorities",
        "scheduler",
        "schedule_group",
        "lease",
        "timeout",
        "max_receives",
        "fair",
        "table",
    )
    assert {name: getattr(options, name) for name in same} == {name: getattr(stack.options, name) for name in same}


def test_the_table_has_the_keys_and_the_time_to_live_that_the_driver_uses(stack, written):
    tables = list(of_type(written, "AWS::DynamoDB::Table").values())
    assert [each["TableName"] for each in tables] == ([] if stack.options.table is None else [stack.options.table])
    for each in tables:
        assert {key["AttributeName"]: key["KeyType"] for key in each["KeySchema"]} == {"pk": "HASH", "sk": "RANGE"}
        assert each["TimeToLiveSpecification"] == {"AttributeName": "exp", "Enabled": True}


def test_a_function_sends_each_minute_what_a_table_keeps_until_it_is_due(stack, written):
    function = of_type(written, "AWS::Serverless::Function").get("SchedulerFunction")
    assert (function is not None) == (stack.options.scheduler == "dynamodb")
    if function is not None:
        assert function["Handler"] == stack.scheduler_handler
        assert [each["Properties"] for each in function["Events"].values()] == [{"Schedule": "rate(1 minute)"}]


def test_no_right_is_for_everything(written):
    documents = [each["PolicyDocument"] for each in of_type(written, "AWS::IAM::ManagedPolicy").values()]
    for role in of_type(written, "AWS::IAM::Role").values():
        documents += [each["PolicyDocument"] for each in role["Policies"]]
    statements = [each for document in documents for each in document["Statement"]]
    assert statements
    for each in statements:
        actions = each["Action"] if isinstance(each["Action"], list) else [each["Action"]]
        assert not any("*" in action for action in actions)
        assert each["Resource"] != "*"


def test_who_sends_may_not_receive_and_nobody_may_delete_queues(written):
    [sending] = of_type(written, "AWS::IAM::ManagedPolicy").values()
    text = json.dumps(sending)
    assert "sqs:SendMessage" in text
    assert "ReceiveMessage" not in text
    assert "DeleteQueue" not in json.dumps(written)


@pytest.mark.parametrize(
    "wrong",
    [
        {"queues": []},
        {"timeout": timedelta(minutes=16)},
        {"timeout": timedelta()},
        {"timeout": timedelta(milliseconds=1500)},
        {"batch_size": 0},
        {"batch_size": 10_001},
        {"batch_size": 11, "options": SqsOptions(fifo=True)},
        {"memory": 64},
        {"max_concurrency": 1},
    ],
    ids=["queues", "long", "none", "fraction", "no batch", "large batch", "large fifo batch", "memory", "concurrency"],
)
def test_what_aws_would_refuse_is_refused(wrong):
    with pytest.raises(ConfigurationError, match="Nothing was written"):
        Stack(**{"queues": ["default"], **wrong})


APP = """
from waybill import JobService, job

@job(queue="emails")
async def send_welcome(user_id: str) -> None: ...

service = JobService({url!r}, jobs=[send_welcome])
"""


@pytest.fixture
def command(tmp_path):
    def run(*arguments, url="sqs://key:s3cret@eu-west-1?fifo=true&prefix=app"):
        (tmp_path / "app.py").write_text(APP.format(url=url))
        return subprocess.run(
            [sys.executable, "-W", "error", "-m", "waybill", "aws", "template", *arguments],
            cwd=tmp_path,
            env={**os.environ, "COLUMNS": "200"},
            capture_output=True,
            text=True,
        )

    return run


def test_the_command_knows_the_applications_queues_and_its_url(command):
    ran = command("--app", "app:service", "--handler", "app.lambda_handler", "--timeout", "30s")
    assert (ran.stderr, ran.returncode) == ("", 0)
    assert "QueueName: app-emails.fifo" in ran.stdout
    assert "QueueName: app-emails-later" in ran.stdout
    assert "VisibilityTimeout: 180" in ran.stdout
    assert "s3cret" not in ran.stdout


def test_an_application_that_develops_on_another_broker_has_the_defaults_or_those_of_a_url(command):
    ran = command("--app", "app:service", url="sqlite:///jobs.db")
    assert "QueueName: waybill-emails\n" in ran.stdout
    ran = command("--app", "app:service", "--url", "sqs://eu-west-1?prefix=shop", url="sqlite:///jobs.db")
    assert "QueueName: shop-emails\n" in ran.stdout


def test_the_command_writes_a_file(command, tmp_path):
    ran = command("--app", "app:service", "-o", "template.yaml")
    assert (ran.stdout, ran.stderr, ran.returncode) == ("", "", 0)
    assert (tmp_path / "template.yaml").read_text() == command("--app", "app:service").stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--timeout", "soon"], "--timeout: 'soon' is no duration"),
        (["--timeout", "20m"], "15 minutes"),
        (["--batch-size", "11"], "1 to 10 messages"),
        (["--output", "no/such/folder/template.yaml"], "cannot be written"),
    ],
    ids=["no duration", "too long", "too many", "no folder"],
)
def test_what_the_command_cannot_do_is_told_in_one_line(command, arguments, told):
    ran = command("--app", "app:service", *arguments)
    assert ran.returncode in {1, 2}
    assert ran.stdout == ""
    assert told in ran.stderr
    assert ran.stderr.count("\n") == 1


def test_every_option_of_the_command_is_in_the_page():
    page = (Path(__file__).parents[2] / "docs/how-to/lambda.md").read_text(encoding="utf-8")
    names = set(inspect.signature(aws_command.template).parameters) - {"settings"}
    assert {f"--{each.replace('_', '-')}" for each in names} <= set(re.findall(r"`(--[\w-]+)`", page))
