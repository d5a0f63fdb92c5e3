"""Jobs in a Lambda function: the answer names what is to be handed out again. Here without AWS, on a memory driver."""

from waybill import JobContext, JobService, PermanentJobError, Retry, job
from waybill.testing import MemoryDriver
from waybill_sqs import bootstrap_worker
from waybill_sqs.testing import sqs_event


@job(name="resize-image", queue="images", retry=Retry(max_attempts=3), group=lambda name: name[0])
async def resize_image(name: str, ctx: JobContext) -> None:
    if name == "broken.png":
        raise PermanentJobError("this is no image")
    if name == "busy.png" and ctx.attempt == 1:
        raise TimeoutError("the disk is busy")
    print(f"  resized {name}, attempt {ctx.attempt}")


@job(name="daily-cleanup")
def daily_cleanup() -> None:
    print("  cleaned up")


driver = MemoryDriver()
service = JobService(driver, jobs=[resize_image, daily_cleanup])
lambda_handler = bootstrap_worker(service, on_job_dead_letter=lambda err: print(f"  given up: {err}"))

print("a batch of a standard queue")
names = ["cat.png", "busy.png", "broken.png"]
answer = lambda_handler(sqs_event([resize_image.call(each) for each in names]), None)
print(f"  again: {[each['itemIdentifier'][-1] for each in answer['batchItemFailures']]}")
print(f"  dead letters: {[each.reason.code for each in driver.dead]}")

print("a batch of a FIFO queue, in which b... waits for busy.png")
names = ["ant.png", "busy.png", "bee.png"]
answer = lambda_handler(sqs_event([resize_image.call(each) for each in names], fifo=True), None)
print(f"  again: {[each['itemIdentifier'][-1] for each in answer['batchItemFailures']]}")

print("a schedule of EventBridge")
print(f"  {lambda_handler({'detail': {'jobName': 'daily-cleanup'}}, None)}")

lambda_handler.close()
