"""What a payload may be declared as: checked on the encoded form at enqueue, parsed before the handler."""

from dataclasses import dataclass
from typing import Any, Literal, NotRequired, TypedDict

import attrs
import msgspec
import pydantic
import pytest

from waybill import ConfigurationError, InvalidJobPayloadError, JobService, define_job
from waybill.testing import MemoryDriver, run_until_idle


@dataclass
class Data:
    a: int
    b: str = "b"


class Typed(TypedDict):
    a: int
    b: NotRequired[str]


class Struct(msgspec.Struct):
    a: int
    b: str = "b"


@attrs.define
class Attrs:
    a: int
    b: str = "b"


class Model(pydantic.BaseModel):
    a: int
    b: str = "b"


@dataclass
class Created:
    kind: Literal["created"]
    at: int


@dataclass
class Deleted:
    kind: Literal["deleted"]
    why: str


@dataclass
class Dot:
    x: int


@dataclass
class Line:
    x: int
    y: int


class Cat(msgspec.Struct, tag="cat"):
    name: str


class Dog(msgspec.Struct, tag="dog"):
    name: str


CLASSES = [Data, Typed, Struct, Attrs, Model]


async def arrives(schema, payload):
    """The payload as the handler gets it, after a way through the broker."""
    got = []

    async def handler(payload):
        got.append(payload)

    service = JobService(MemoryDriver(), jobs=[define_job(name="x", handler=handler, schema=schema)])
    await service.enqueue("x", payload)
    await run_until_idle(service)
    return got[0]


async def refused(schema, payload):
    driver = MemoryDriver()
    with pytest.raises(InvalidJobPayloadError) as caught:
        await JobService(driver).enqueue(define_job(name="x", schema=schema), payload)
    assert driver.enqueued == []
    assert caught.value.job_name == "x"
    return caught.value.issues


@pytest.mark.parametrize("schema", CLASSES)
async def test_the_handler_gets_the_parsed_value_with_defaults_applied(schema):
    got = await arrives(schema, {"a": 1})
    assert got == ({"a": 1} if schema is Typed else schema(a=1))


@pytest.mark.parametrize("schema", CLASSES)
async def test_an_instance_is_accepted(schema):
    assert await arrives(schema, schema(a=1, b="c")) == schema(a=1, b="c")


@pytest.mark.parametrize("schema", CLASSES)
@pytest.mark.parametrize("payload", [{"a": "x"}, {}, {"a": None}, [], 5, None])
async def test_a_wrong_payload_is_refused_at_enqueue_and_not_stored(schema, payload):
    assert await refused(schema, payload)


@pytest.mark.parametrize("schema", CLASSES)
async def test_an_issue_names_the_path(schema):
    [issue] = await refused(schema, {"a": "x"})
    assert issue.startswith("$.a: ")


@pytest.mark.parametrize("schema", [Data, Struct, Attrs, Model])
async def test_an_instance_that_holds_wrong_types_is_refused(schema):
    wrong = Model.model_construct(a="x") if schema is Model else schema(a=1)
    if schema is not Model:
        wrong.a = "x"
    [issue] = await refused(schema, wrong)
    assert issue.startswith("$.a: ")


BUILTINS = [
    (int, 5),
    (str, "x"),
    (bool, True),
    (float, 1.5),
    (list[int], [1, 2]),
    (dict[str, int], {"a": 1}),
    (str | list[str], "a@x"),
    (str | list[str], ["a@x", "b@x"]),
    (int | None, None),
    (Literal["a", "b"], "b"),
    (tuple[int, str], (1, "x")),
    (None, {"any": [1, "json", None]}),
    (Any, [1]),
    (object, {"a": 1}),
]


@pytest.mark.parametrize(("schema", "payload"), BUILTINS, ids=str)
async def test_builtin_types_arrive_unchanged(schema, payload):
    assert await arrives(schema, payload) == payload


@pytest.mark.parametrize(("schema", "payload"), [(int, "5"), (str, 5), (list[int], ["x"]), (Literal["a"], "b")])
async def test_a_value_of_another_builtin_type_is_refused(schema, payload):
    assert await refused(schema, payload)


UNIONS = [
    (Created | Deleted, {"kind": "deleted", "why": "x"}, Deleted("deleted", "x")),
    (Created | Deleted, Created("created", 1), Created("created", 1)),
    (Dot | Line, {"x": 1, "y": 2}, Dot(1)),  # no tag: the first that fits
    (Dot | Line | None, None, None),
    (Cat | Dog, {"type": "dog", "name": "Rex"}, Dog("Rex")),
    (Model | None, {"a": 1}, Model(a=1)),
    (list[Model], [{"a": 1}], [Model(a=1)]),
]


@pytest.mark.parametrize(("schema", "payload", "parsed"), UNIONS, ids=str)
async def test_a_union_is_parsed_to_the_member_that_fits(schema, payload, parsed):
    assert await arrives(schema, payload) == parsed


@pytest.mark.parametrize("tag", ["moved", None, 5, [], {}], ids=str)
async def test_a_tag_that_no_member_has_is_refused_with_the_known_ones(tag):
    [issue] = await refused(Created | Deleted, {"kind": tag, "why": "x"})
    assert "'created', 'deleted'" in issue


async def test_a_payload_that_fits_the_tag_but_not_its_member_is_refused():
    [issue] = await refused(Created | Deleted, {"kind": "created", "why": "x"})
    assert "at" in issue


async def test_what_fits_no_member_of_an_untagged_union_is_refused():
    [issue] = await refused(Dot | Line, {"z": 1})
    assert "fits no member" in issue


class Custom: ...


@dataclass
class Holder:
    inside: list[Custom]


@pytest.mark.parametrize("schema", [Custom, Holder, list[Custom], 5, "text", Custom | None], ids=str)
def test_a_type_that_json_cannot_fill_is_refused_at_the_definition(schema):
    with pytest.raises(ConfigurationError, match="cannot be a payload"):
        define_job(name="x", schema=schema)


@dataclass
class Picky:
    a: int

    def __post_init__(self):
        raise KeyError(self.a)  # not a ValueError, which validation usually is


async def test_whatever_a_types_own_validation_raises_refuses_the_payload():
    assert await refused(Picky, {"a": 1})


@pytest.mark.parametrize("payload", [Data(1), Struct(1), Attrs(1), Model(a=1), {"nested": [Model(a=1)]}], ids=str)
async def test_without_a_schema_an_object_goes_as_its_json_form(service, driver, payload):
    await service.enqueue(define_job(name="any"), payload)
    plain = {"a": 1, "b": "b"}
    assert driver.enqueued[0].payload == (plain if not isinstance(payload, dict) else {"nested": [plain]})


class Text(str):
    __slots__ = ()


async def test_a_subclass_of_a_builtin_goes_as_the_builtin(service, driver):
    await service.enqueue(define_job(name="any"), {"a": Text("x")})
    assert driver.enqueued[0].payload == {"a": "x"}


async def test_no_payload_is_none():
    assert await arrives(None, None) is None
