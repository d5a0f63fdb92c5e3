"""FIFO queues: a group's records run one by one in order, and none after one that is to be run again."""

import asyncio

import pytest

from waybill import PermanentJobError, job

FIFO = "arn:aws:sqs:eu-west-1:123456789012:waybill-default.fifo"


@pytest.fixture
def ran():
    return []


@pytest.fixture
def step(ran):
    @job
    async def step(payload):
        await asyncio.sleep(0)
        ran.append(payload)
        if payload.endswith("!"):
            raise RuntimeError(payload)
        if payload.endswith("?"):
            raise PermanentJobError(payload)

    return step


@pytest.fixture
def fifo(record):
    def make(*payloads, arn=FIFO):
        """Records whose group is the first letter of their payload."""
        return {
            "Records": [
                record({"jobName": "step", "payload": each, "jobId": each}, each, arn=arn, group=each[0])
                for each in payloads
            ]
        }

    return make


def test_a_group_runs_in_order_and_groups_side_by_side(bootstrap, fifo, failures, step, ran):
    assert failures(bootstrap(step)(fifo("a1", "b1", "a2", "b2", "a3"), None)) == []
    assert [each for each in ran if each[0] == "a"] == ["a1", "a2", "a3"]
    assert ran.index("b1") < ran.index("a2")


def test_after_a_failure_the_rest_of_its_group_is_named_unrun(bootstrap, fifo, failures, step, ran):
    answer = bootstrap(step)(fifo("a1", "a2!", "b1", "a3", "b2", "a4"), None)
    assert failures(answer) == ["a2!", "a3", "a4"]
    assert sorted(ran) == ["a1", "a2!", "b1", "b2"]


def test_one_that_is_given_up_lets_its_group_go_on(bootstrap, fifo, failures, step, ran, driver):
    assert failures(bootstrap(step)(fifo("a1?", "a2"), None)) == []
    assert ran == ["a1?", "a2"]
    assert [each.message.id for each in driver.dead] == ["a1?"]


def test_the_same_group_of_two_queues_is_two(bootstrap, fifo, failures, step):
    other = FIFO.replace("default", "other")
    event = {"Records": fifo("a1!")["Records"] + fifo("a2", arn=other)["Records"]}
    assert failures(bootstrap(step)(event, None)) == ["a1!"]


def test_a_group_on_a_standard_queue_is_a_tenant_and_no_order(bootstrap, fifo, failures, step):
    standard = FIFO.removesuffix(".fifo")
    assert failures(bootstrap(step)(fifo("a1!", "a2", arn=standard), None)) == ["a1!"]


def test_without_an_arn_the_attributes_tell_that_a_queue_is_fifo(bootstrap, fifo, failures, step):
    assert failures(bootstrap(step)(fifo("a1!", "a2", arn=None), None)) == ["a1!", "a2"]


def test_a_group_without_an_id_is_no_group(bootstrap, fifo, failures, step):
    event = fifo("a1!", "a2")
    for each in event["Records"]:
        each["attributes"]["MessageGroupId"] = None
    assert failures(bootstrap(step)(event, None)) == ["a1!"]
