"""Three front ends, one Job; and the shapes of handler that a definition takes."""

import functools
from dataclasses import dataclass

import pytest

from waybill import ConfigurationError, Job, JobContext, JobService, Retry, define_job, job
from waybill.testing import MemoryDriver, run_until_idle


@dataclass
class Welcome:
    user_id: str
    locale: str = "en"


async def handler(payload: Welcome, ctx: JobContext):
    return payload.user_id


class Sent(Job[Welcome]):
    name = "sent"
    queue = "emails"
    retry = 3
    timeout = "30s"

    async def handle(self, payload: Welcome, ctx: JobContext):
        return payload.user_id


OPTIONS = {"name": "sent", "queue": "emails", "retry": Retry(max_attempts=3), "timeout": "30s"}
FRONT_ENDS = {
    "define_job": define_job(handler=handler, **OPTIONS),
    "decorator": job(**OPTIONS)(handler),
    "class": Sent(),
}


@pytest.mark.parametrize("front_end", FRONT_ENDS)
class TestEveryFrontEnd:
    def test_gives_a_job_with_its_name_and_parsed_options(self, front_end):
        made = FRONT_ENDS[front_end]
        assert isinstance(made, Job)
        assert made.name == "sent"
        assert made.options == FRONT_ENDS["define_job"].options
        assert made.options.retry.max_attempts == 3
        assert made.options.timeout.total_seconds() == 30

    def test_takes_the_schema_from_the_annotation(self, front_end):
        assert FRONT_ENDS[front_end].schema is Welcome

    async def test_gives_a_callable_that_runs_the_raw_handler(self, front_end):
        assert await FRONT_ENDS[front_end](Welcome("u1"), None) == "u1"

    async def test_gives_the_handler_the_parsed_payload_and_the_context(self, front_end):
        service = JobService(MemoryDriver(), jobs=[FRONT_ENDS[front_end]])
        assert await service.run_now("sent", {"user_id": "u2"}) == "u2"


def test_a_call_and_a_decorator_that_say_the_same_are_equal():
    assert define_job(name="x", handler=handler) == job(name="x")(handler)
    assert define_job(name="x", handler=handler) != define_job(name="y", handler=handler)
    assert define_job(name="x", handler=handler) != "x"
    assert len({define_job(name="x", handler=handler), job(name="x")(handler)}) == 1


def test_a_bare_decorator_takes_the_name_of_the_function():
    @job
    async def send_welcome(payload: Welcome): ...

    assert send_welcome.name == "send_welcome"
    assert send_welcome.schema is Welcome


def test_a_class_takes_its_own_name():
    class SendWelcome(Job[Welcome]):
        async def handle(self, payload): ...

    assert SendWelcome().name == "SendWelcome"


def test_a_class_takes_the_schema_from_its_type_argument_where_the_payload_is_not_annotated():
    class SendWelcome(Job[Welcome]):
        async def handle(self, payload, ctx): ...

    class Loud(SendWelcome):
        async def handle(self, payload, ctx): ...

    assert SendWelcome().schema is Welcome
    assert Loud().schema is Welcome


def test_a_class_says_queue_name_as_well():
    class Urgent(Job):
        queue_name = "high-priority"

    assert Urgent().options.queue == "high-priority"


def test_an_option_set_on_one_instance_does_not_leak_to_another():
    one, other = Sent(), Sent()
    one.delay = "1m"
    assert one.options.delay.total_seconds() == 60
    assert other.options.delay is None


def test_an_option_set_on_an_instance_is_checked_at_once():
    with pytest.raises(ValueError, match='"60s"'):
        Sent().delay = 60


def test_options_given_as_none_are_the_defaults():
    made = define_job(name="x", priority=None, aliases=None, on_invalid=None, retry=None)
    assert made.options == define_job(name="x").options


def test_an_option_that_was_not_given_reads_as_its_default():
    made = define_job(name="x")
    assert (made.queue, made.retry, made.timeout, made.unique, made.group, made.delay, made.schema) == (None,) * 7
    assert (made.priority, made.on_invalid, made.aliases) == (0, "dead", ())


def test_a_definition_without_a_handler_is_a_declaration_that_cannot_be_called():
    with pytest.raises(ConfigurationError, match="declaration"):
        define_job(name="declared")(1)


@pytest.mark.parametrize("name", [None, "", 5])
def test_a_job_needs_a_name(name):
    with pytest.raises(ConfigurationError, match="name"):
        define_job(name=name)


def test_a_class_whose_name_is_no_text_is_refused():
    with pytest.raises(ConfigurationError, match="name"):

        class Wrong(Job):
            name = 5


def test_an_unknown_option_is_refused_with_the_known_ones():
    with pytest.raises(ConfigurationError, match=r"'que'.*queue"):
        define_job(name="x", que="emails")


# -- shapes -------------------------------------------------------------------------------------------------


async def nothing():
    return ()


async def payload_only(payload):
    return (payload,)


async def ctx_only(ctx):
    return (ctx,)


async def context_only(context):
    return (context,)


async def annotated(run: JobContext):
    return (run,)


async def by_text(run: "JobContext"):
    return (run,)


async def optional(run: JobContext | None = None):
    return (run,)


async def context_first(ctx, payload):
    return (payload, ctx)


async def both(payload, ctx):
    return (payload, ctx)


async def positional_only(payload, ctx, /):
    return (payload, ctx)


async def keyword_only(*, payload, ctx):
    return (payload, ctx)


async def further_defaults(payload, ctx, debug=False):
    return (payload, ctx)


async def annotation_wins(context: dict, run: JobContext):
    return (context, run)


def plain(payload, ctx):
    return (payload, ctx)


class Callable:
    async def __call__(self, payload, ctx):
        return (payload, ctx)


async def original(payload, ctx): ...


@functools.wraps(original)
async def wrapper(*args, **kwargs):
    return await both(*args, **kwargs)


NEITHER, PAYLOAD, CTX, BOTH = (), ("payload",), ("ctx",), ("payload", "ctx")
SHAPES = [
    (nothing, NEITHER),
    (payload_only, PAYLOAD),
    (ctx_only, CTX),
    (context_only, CTX),
    (annotated, CTX),
    (by_text, CTX),
    (optional, CTX),
    (context_first, BOTH),
    (both, BOTH),
    (positional_only, BOTH),
    (keyword_only, BOTH),
    (further_defaults, BOTH),
    (annotation_wins, BOTH),
    (plain, BOTH),
    (Callable(), BOTH),
    (wrapper, BOTH),
    (functools.partial(both), BOTH),
]


@pytest.mark.parametrize(
    ("function", "expected"), SHAPES, ids=lambda each: getattr(each, "__name__", type(each).__name__)
)
async def test_a_handler_gets_what_its_parameters_ask_for(service, function, expected):
    got = await service.run_now(define_job(name="x", handler=function), {"a": 1})
    assert tuple("ctx" if isinstance(each, JobContext) else "payload" for each in got) == expected
    assert all(each == {"a": 1} for each in got if not isinstance(each, JobContext))


def two_payloads(user_id, locale): ...


def variadic(*args): ...


def keywords(**kwargs): ...


def two_contexts(ctx, context): ...


def generator(payload):
    yield payload


async def async_generator(payload):
    yield payload


REFUSED = [
    (two_payloads, "fields into one dataclass"),
    (variadic, "name one parameter"),
    (keywords, "name one parameter"),
    (two_contexts, "one context"),
    (generator, "yields"),
    (async_generator, "yields"),
    (5, "cannot be called"),
]


@pytest.mark.parametrize(("function", "cure"), REFUSED, ids=lambda each: getattr(each, "__name__", None))
def test_any_other_shape_is_refused_with_its_cure(function, cure):
    with pytest.raises(ConfigurationError, match=cure):
        define_job(name="x", handler=function)


def test_a_class_of_a_wrong_shape_is_refused_where_it_is_defined():
    with pytest.raises(ConfigurationError, match="one dataclass"):

        class Wrong(Job):
            def handle(self, one, two): ...


async def test_a_plain_handler_that_takes_no_payload_runs_on_the_worker(service):
    ran = []
    await service.enqueue(define_job(name="x", handler=lambda: ran.append(1)), {"ignored": True})
    assert await run_until_idle(service) == 1
    assert ran == [1]
