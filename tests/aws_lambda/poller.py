"""What Lambda does between a queue and a function: the event source mapping, with ReportBatchItemFailures."""

import boto3
from botocore.config import Config

from waybill.url import BrokerUrl


def client_of(url, service="sqs"):
    """A plain client for the emulator that a driver's URL names."""
    parsed = BrokerUrl.parse(url)
    endpoint = dict(parsed.query)["endpoint_url"]
    return boto3.client(
        service,
        region_name="us-east-1",
        endpoint_url=endpoint,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"total_max_attempts": 1}),
    )


class Poller:
    """Hands batches of one queue to a handler, and deletes what the answer does not name."""

    def __init__(self, client, name, handler):
        self.client, self.handler = client, handler
        self.url = client.get_queue_url(QueueName=name)["QueueUrl"]
        told = client.get_queue_attributes(QueueUrl=self.url, AttributeNames=["QueueArn"])
        self.arn = told["Attributes"]["QueueArn"]

    def receive(self, wait=1, visibility=30):
        answer = self.client.receive_message(
            QueueUrl=self.url,
            MaxNumberOfMessages=10,
            WaitTimeSeconds=wait,
            VisibilityTimeout=visibility,
            AttributeNames=["All"],
            MessageAttributeNames=["All"],
        )
        return [self._record(each) for each in answer.get("Messages", [])]

    def _record(self, message):
        return {
            "messageId": message["MessageId"],
            "receiptHandle": message["ReceiptHandle"],
            "body": message["Body"],
            "attributes": message["Attributes"],
            "messageAttributes": {},
            "md5OfBody": message["MD5OfBody"],
            "eventSource": "aws:sqs",
            "eventSourceARN": self.arn,
            "awsRegion": "us-east-1",
        }

    def invoke(self, records, context=None):
        """The identifiers that the answer names."""
        answer = self.handler({"Records": records}, context)
        failed = {each["itemIdentifier"] for each in answer["batchItemFailures"]}
        for each in records:
            if each["messageId"] not in failed:
                self.client.delete_message(QueueUrl=self.url, ReceiptHandle=each["receiptHandle"])
        return failed

    def poll(self, context=None, **options):
        """One batch, if there is one: how many records it had, and which failed."""
        records = self.receive(**options)
        return (len(records), self.invoke(records, context)) if records else (0, set())

    def counts(self):
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        told = self.client.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)["Attributes"]
        return tuple(int(told[name]) for name in names)
