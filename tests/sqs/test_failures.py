"""What goes wrong is told by what it means and what to do, and never shows a credential."""

import socket
from datetime import timedelta

import pytest

from waybill import open_driver
from waybill.errors import (
    BrokerUnavailableError,
    ConfigurationError,
    EnqueueRejectedError,
    EnqueueUnavailableError,
    EnqueueUnknownError,
)
from waybill_sqs import SqsDriver

SOON = timedelta(seconds=5)
SECRETS = ("AKIDEXAMPLE", "s3cr3t/key")


def shows_no_secret(error):
    while error is not None:
        assert not any(each in f"{error} {error!r}" for each in SECRETS)
        error = error.__cause__


def nobody_listens():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("InvalidClientTokenId", "does not accept these credentials"),
        ("UnrecognizedClientException", "does not accept these credentials"),
        ("SignatureDoesNotMatch", "does not accept these credentials"),
        ("ExpiredToken", "have expired"),
        ("RequestExpired", "clock of this machine"),
    ],
)
async def test_credentials_that_are_no_good_are_told_when_a_driver_opens(faulty, code, said):
    faulty.fail("GetQueueUrl", code, status=403)
    driver = SqsDriver("sqs://AKIDEXAMPLE:s3cr3t%2Fkey@us-east-1", endpoint_url=faulty.url)
    with pytest.raises(ConfigurationError, match=said) as refused:
        await driver.open()
    shows_no_secret(refused.value)
    assert not any(each in repr(driver) for each in SECRETS)


async def test_no_credentials_at_all_are_told_with_where_they_are_looked_for(monkeypatch, tmp_path, endpoint):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(ConfigurationError, match="no credentials.*how boto3 finds"):
        await SqsDriver("sqs://us-east-1", endpoint_url=endpoint).open()


async def test_no_region_is_told(monkeypatch, tmp_path):
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(ConfigurationError, match="no region.*eu-west-1"):
        await SqsDriver("sqs://").open()


async def test_a_profile_that_is_not_there_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(ConfigurationError, match="no such profile"):
        await SqsDriver("sqs://us-east-1", profile="nobody").open()


async def test_an_endpoint_where_nobody_listens_is_told(message):
    with pytest.raises(BrokerUnavailableError, match="cannot be reached.*region"):
        await SqsDriver("sqs://a:b@us-east-1", endpoint_url=nobody_listens()).open()


async def test_a_missing_right_does_not_keep_a_driver_from_opening_and_is_told_by_the_verb(connect, faulty, message):
    faulty.fail("GetQueueUrl", "AccessDenied", status=403, times=2)
    driver = await connect(faulty.url)
    with pytest.raises(EnqueueRejectedError, match="may not do that.*Nothing was stored.*IAM"):
        await driver.enqueue(message())
    faulty.fail("ReceiveMessage", "AccessDenied", status=403)
    with pytest.raises(BrokerUnavailableError, match="cannot receive from q on SQS .*may not do that"):
        await driver.receive("q", limit=1, wait=SOON)


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("ExpiredToken", 403, EnqueueRejectedError),
        ("KMS.DisabledException", 400, EnqueueRejectedError),
        ("BatchRequestTooLong", 400, EnqueueRejectedError),
        ("ServiceUnavailable", 503, EnqueueUnavailableError),
        ("InternalFailure", 500, EnqueueUnknownError),
    ],
)
async def test_a_refused_enqueue_says_whether_it_may_have_been_stored(connect, faulty, message, code, status, kind):
    driver = await connect(faulty.url)
    await driver.queue_url("q")
    faulty.fail("SendMessageBatch", code, status=status)
    with pytest.raises(kind) as refused:
        await driver.enqueue(message("a"))
    assert "a" in str(refused.value)
    shows_no_secret(refused.value)
    await driver.enqueue(message("b"))  # the driver goes on


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sqs://eu-west-1/prefix", "no path"),
        ("sqs://eu-west-1:80", "region"),
        ("sqs://key@eu-west-1", "both"),
        ("sqs://eu-west-1?lease=1.5s", "whole seconds"),
        ("sqs://eu-west-1?lease=13h", "from 1 to 43200"),
        ("sqs://eu-west-1?poll=30s", "from 1 to 20"),
        ("sqs://eu-west-1?priorities=11", "from 1"),
        ("sqs://eu-west-1?fifo=true&priorities=2", "leave out one"),
        ("sqs://eu-west-1?scheduler=eventbridge", "role_arn="),
        ("sqs://eu-west-1?scheduler=dynamodb", "table="),
        ("sqs://eu-west-1?scheduler=cron", "relay, eventbridge, dynamodb"),
        ("sqs://eu-west-1?max_receives=0", "1 to 1000"),
        ("sqs://eu-west-1?timeout=0s", "longer than nothing"),
        ("sqs://eu-west-1?create=maybe", "auto, never"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_asked(url, said):
    with pytest.raises(ConfigurationError, match=said):
        open_driver(url)


def test_options_are_the_same_in_a_url_and_as_keywords():
    one = SqsDriver("sqs://eu-west-1?lease=30s&fifo=true&prefix=shop")
    other = SqsDriver("sqs://eu-west-1", lease="30s", fifo=True, prefix="shop")
    mixed = SqsDriver("sqs://eu-west-1?lease=30s", fifo=True, prefix="shop")
    assert one.options == other.options == mixed.options


async def test_a_ready_client_is_used_and_stays_open(aws, message, prefix):
    driver = SqsDriver(client=aws.sqs, prefix=prefix, poll="1s")
    await driver.open()
    await driver.enqueue(message("a"))
    assert [each.message.id for each in await driver.receive("q", limit=1, wait=SOON)] == ["a"]
    await driver.close()
    assert aws.sqs.list_queues(QueueNamePrefix=prefix)["QueueUrls"]


async def test_an_open_driver_belongs_to_its_event_loop(driver, message):
    import asyncio

    with pytest.raises(ConfigurationError, match="another event loop"):
        await asyncio.to_thread(asyncio.run, driver.enqueue(message()))
