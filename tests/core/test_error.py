"""One tree of errors: values are attributes, all of them travel, and its docstring draws it."""

import pickle
import re
from datetime import UTC, datetime, timedelta

import pytest

import waybill.errors
from waybill import (
    BrokerUnavailableError,
    ConfigurationError,
    DeadReason,
    DelayNotSupportedError,
    DriverClosedError,
    DriverNotFoundError,
    DuplicateJobError,
    DuplicateJobNameError,
    EnqueueError,
    EnqueueRejectedError,
    EnqueueUnavailableError,
    EnqueueUnknownError,
    InvalidJobPayloadError,
    InvalidQueueNameError,
    JobError,
    JobTimeoutError,
    LeaseLostError,
    PayloadTooLargeError,
    PermanentJobError,
    RetryExhaustedError,
    TransientJobError,
    UnknownJobError,
    UnknownQueueError,
    UnsupportedError,
    WaybillError,
)

TREE = {
    ConfigurationError: [DriverNotFoundError, UnsupportedError, DuplicateJobNameError],
    EnqueueError: [
        InvalidJobPayloadError,
        PayloadTooLargeError,
        DuplicateJobError,
        EnqueueRejectedError,
        EnqueueUnknownError,
        EnqueueUnavailableError,
        UnknownQueueError,
        InvalidQueueNameError,
        DelayNotSupportedError,
    ],
    JobError: [PermanentJobError, TransientJobError, RetryExhaustedError, JobTimeoutError, UnknownJobError],
    WaybillError: [
        ConfigurationError,
        EnqueueError,
        BrokerUnavailableError,
        LeaseLostError,
        DriverClosedError,
        JobError,
    ],
    BrokerUnavailableError: [EnqueueUnavailableError],
    UnsupportedError: [DelayNotSupportedError],
}
ERRORS = [
    (InvalidJobPayloadError("x", ["$.a: no"]), {"job_name": "x", "issues": ("$.a: no",)}),
    (PayloadTooLargeError(300_000, 262_144), {"size": 300_000, "limit": 262_144}),
    (DuplicateJobError("k", "id1"), {"key": "k", "existing_job_id": "id1"}),
    (DuplicateJobError("k"), {"key": "k", "existing_job_id": None}),
    (EnqueueUnknownError("id1"), {"job_id": "id1"}),
    (UnknownQueueError("q", ["a", "b"]), {"queue": "q", "known": ("a", "b")}),
    (InvalidQueueNameError("no queue"), {"queue": "no queue"}),
    (DelayNotSupportedError("x", timedelta(2), timedelta(1)), {"delay": timedelta(2), "limit": timedelta(1)}),
    (DriverNotFoundError("redis", ["memory"], "waybill-redis"), {"scheme": "redis", "installed": ("memory",)}),
    (UnsupportedError("no", ["a", "b"]), {"problems": ("a", "b")}),
    (DuplicateJobNameError("x"), {"job_name": "x"}),
    (TransientJobError("later", retry_after="10m"), {"retry_after": timedelta(minutes=10)}),
    (TransientJobError("later"), {"retry_after": None}),
    (RetryExhaustedError("x", 3, 3), {"job_name": "x", "attempt": 3, "max_attempts": 3}),
    (JobTimeoutError("x", timedelta(1)), {"job_name": "x", "timeout": timedelta(1)}),
    (UnknownJobError("x"), {"job_name": "x"}),
    (PermanentJobError("never"), {}),
    (EnqueueUnavailableError("down"), {}),
]


@pytest.mark.parametrize("parent", TREE, ids=lambda each: each.__name__)
def test_the_tree_is_the_contracts(parent):
    assert all(issubclass(each, parent) for each in TREE[parent])


@pytest.mark.parametrize(("error", "values"), ERRORS, ids=range(len(ERRORS)))
def test_values_are_attributes_and_survive_a_pickle(error, values):
    for each in (error, pickle.loads(pickle.dumps(error))):
        assert type(each) is type(error)
        assert str(each) == str(error)
        assert {name: getattr(each, name) for name in values} == values


@pytest.mark.parametrize(("error", "values"), ERRORS, ids=range(len(ERRORS)))
def test_the_message_shows_the_values_and_one_line(error, values):
    assert "\n" not in str(error)
    assert all(each in str(error) for each in values.values() if isinstance(each, str))


def test_the_docstring_draws_every_class_under_its_first_parent():
    drawn = re.findall(r"^( *)(\w+Error)\b", waybill.errors.__doc__, re.MULTILINE)
    parents, found = {}, {}
    for indent, name in drawn:
        parents[len(indent)] = name
        found[name] = parents.get(len(indent) - 2)
    actual = {
        name: kind.__base__.__name__
        for name, kind in vars(waybill.errors).items()
        if isinstance(kind, type) and issubclass(kind, WaybillError)
    }
    assert found == actual | {"WaybillError": None}


@pytest.mark.parametrize("error", [each for each, _ in ERRORS if isinstance(each, EnqueueError)], ids=repr)
def test_an_error_of_sending_says_whether_anything_was_stored(error):
    if type(error) is not EnqueueUnavailableError:
        assert re.search(r"nothing was sent|is refused|is stored or not", str(error), re.IGNORECASE)


def test_a_dead_reason_shows_its_code_and_error():
    at = datetime(2026, 1, 1, tzinfo=UTC)
    assert str(DeadReason("permanent", "ValueError: x", 1, at)) == "permanent: ValueError: x"
    assert str(DeadReason("lease-expired", "", 1, at)) == "lease-expired"
    reason = DeadReason("exhausted", "x", 3, at)
    assert pickle.loads(pickle.dumps(reason)) == reason
    with pytest.raises(AttributeError):
        reason.attempt = 4
