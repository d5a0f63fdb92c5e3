"""import waybill gives every public name and loads no driver, client, test library or CLI."""

import subprocess
import sys

import waybill

CONTRACT = [
    "Job",
    "JobContext",
    "JobService",
    "JobModule",
    "Retry",
    "Unique",
    "Worker",
    "define_job",
    "job",
    "open_driver",
    "hookimpl",
    "Session",
    "JobExecution",
    "EnqueueResult",
    "BatchResult",
    "EnqueueFailure",
    "Message",
    "Delivery",
    "Capabilities",
    "QueueDriver",
    "DeadReason",
    "claims",
    "ConfigurationError",
    "DriverNotFoundError",
    "UnsupportedError",
    "DuplicateJobNameError",
    "EnqueueError",
    "InvalidJobPayloadError",
    "PayloadTooLargeError",
    "DuplicateJobError",
    "EnqueueRejectedError",
    "EnqueueUnknownError",
    "EnqueueUnavailableError",
    "UnknownQueueError",
    "InvalidQueueNameError",
    "DelayNotSupportedError",
    "BrokerUnavailableError",
    "LeaseLostError",
    "DriverClosedError",
    "JobError",
    "PermanentJobError",
    "TransientJobError",
    "RetryExhaustedError",
    "JobTimeoutError",
    "UnknownJobError",
    "WaybillError",
]
UNWANTED = (
    "waybill_sqlite waybill.drivers.memory pytest typer rich click sqlite3 redis tomllib attrs pydantic hypothesis"
)


def test_every_name_of_the_contract_is_public():
    missing = [each for each in CONTRACT if each not in waybill.__all__ or not hasattr(waybill, each)]
    assert missing == []


def test_nothing_else_is_loaded():
    code = f"import sys, waybill; print(*[each for each in {UNWANTED.split()!r} if each in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (result.stdout.strip(), result.stderr, result.returncode) == ("", "", 0)


def test_the_driver_module_gives_authors_every_protocol():
    import waybill.driver

    optional = [
        "EnqueuesBatches",
        "AcksBatches",
        "NacksBatches",
        "ExtendsBatches",
        "ReceivesMany",
        "ExtendsLease",
        "Releases",
        "Buries",
        "ReadsDeadLetters",
        "Counts",
        "ListsQueues",
        "ListsDelayed",
        "Purges",
        "Cancels",
        "KeepsState",
        "Clones",
        "Diagnoses",
    ]
    assert [each.__name__ for each in waybill.driver.OPTIONAL] == optional
    assert set(optional) <= set(waybill.driver.__all__)
