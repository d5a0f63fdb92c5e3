"""A broker's URL: parsed once into values and options, refused in words, and never shown with its secrets."""

import traceback
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal
from urllib.parse import quote

import pytest
from hypothesis import given, strategies as st

from waybill import ConfigurationError
from waybill.driver import BrokerUrl

NASTY = "p/w#x@%"


@dataclass(frozen=True)
class Options:
    lease: timedelta = timedelta(seconds=60)
    timeout: timedelta = timedelta(seconds=10)
    prefix: str = "waybill"
    pool: int = 4
    tls: bool = True
    mode: Literal["fast", "safe"] = "safe"
    tls_ca: str | None = None


@dataclass(frozen=True)
class Needed:
    region: str


PARTS = {
    "memory://": ("memory", (), "", None, None),
    "sqlite:///jobs.db": ("sqlite", (), "jobs.db", None, None),
    "sqlite:////tmp/jobs.db": ("sqlite", (), "/tmp/jobs.db", None, None),
    "redis://u:p@h:6380/1": ("redis", (("h", 6380),), "1", "u", "p"),
    "redis://:p@h": ("redis", (("h", None),), "", None, "p"),
    "rediss://[::1]:6379/0": ("rediss", (("::1", 6379),), "0", None, None),
    "amqp://u:p@h/vhost": ("amqp", (("h", None),), "vhost", "u", "p"),
    "amqp://h/%2F": ("amqp", (("h", None),), "/", None, None),
    "tls+nats://h1,h2:4223": ("tls+nats", (("h1", None), ("h2", 4223)), "", None, None),
    "sqs://eu-west-1": ("sqs", (("eu-west-1", None),), "", None, None),
    "REDIS://h": ("redis", (("h", None),), "", None, None),
}


@pytest.mark.parametrize("url", PARTS)
def test_a_url_is_taken_apart(url):
    found = BrokerUrl.parse(url)
    assert (found.scheme, found.hosts, found.path, found.username, found.password) == PARTS[url]


def test_a_password_is_percent_decoded():
    assert BrokerUrl.parse(f"redis://u:{quote(NASTY, safe='')}@h").password == NASTY


OPTIONS = {
    "": Options(),
    "?lease=5m&timeout=1s": Options(lease=timedelta(minutes=5), timeout=timedelta(seconds=1)),
    "?prefix=a%20b&pool=9": Options(prefix="a b", pool=9),
    "?tls=false": Options(tls=False),
    "?tls=YES&mode=fast": Options(tls=True, mode="fast"),
    "?tls_ca=/etc/ca.pem": Options(tls_ca="/etc/ca.pem"),
}


@pytest.mark.parametrize("query", OPTIONS)
def test_options_are_parsed_once_into_a_frozen_dataclass(query):
    assert BrokerUrl.parse(f"x://{query}").options(Options) == OPTIONS[query]


REFUSED = {
    "?lese=5m": "no option 'lese'; did you mean 'lease'?",
    "?unheard=1": "no option 'unheard'; Options: lease, mode",
    "?lease=5": "has no unit",
    "?lease=soon": "is no duration",
    "?pool=many": "pool",
    "?tls=maybe": "neither true nor false",
    "?mode=slow": "none of fast, safe",
    "?lease=1s&lease=2s": "given twice",
}


@pytest.mark.parametrize("query", REFUSED)
def test_an_unknown_misspelt_or_malformed_option_is_refused(query):
    with pytest.raises(ConfigurationError) as caught:
        BrokerUrl.parse(f"x://{query}").options(Options)
    assert REFUSED[query] in str(caught.value)


def test_a_missing_option_is_refused_by_name():
    with pytest.raises(ConfigurationError, match="'region'"):
        BrokerUrl.parse("x://").options(Needed)


MALFORMED = [
    "",
    "redis",
    "redis:/h",
    "://h",
    "re dis://h",
    "redis://h:port",
    "redis://h:0",
    "redis://h:65536",
    "redis://h:-1",
]


@pytest.mark.parametrize("url", MALFORMED)
def test_a_malformed_url_is_a_configuration_error(url):
    with pytest.raises(ConfigurationError):
        BrokerUrl.parse(url)


SECRETS = [
    f"redis://user:{NASTY}@host/0",
    f"redis://user:{NASTY}@host/0?lease=1s",
    f"redis://:{NASTY}@host",
    "redis://user:12?secret@host/0",
    "redis://user:secret@host:secret/0",
    "redis://user:se:cret@host:x/0",
    "redis://user:secret?@host",
    "redis://host?password=secret&unheard=1",
    "redis://host?tls_key=secret&pool=x",
    "nats://secret@host?unheard=1",
]


@pytest.mark.parametrize("url", SECRETS)
def test_no_error_and_no_frame_of_ours_repeats_a_password(url):
    with pytest.raises(ConfigurationError) as caught:
        BrokerUrl.parse(url).options(Options)
    told = "".join(traceback.format_exception(caught.value, chain=True))
    ours = told.partition("Error: ")[2]
    for secret in (NASTY, "secret", "w#x", "x@%", "se:cret"):
        assert secret not in ours


@pytest.mark.parametrize(
    "url",
    [
        f"redis://user:{quote(NASTY, safe='')}@host:1/0?lease=1s",
        "redis://user:p%2Fw%23x%40%25@host",
        "sqs://eu?endpoint_url=http://user:p%2Fw%23x%40%25@host",
        "x://h?tls_key=p%2Fw%23x%40%25&password=p%2Fw%23x%40%25&secret_key=p%2Fw%23x%40%25",
        "nats://p%2Fw%23x%40%25@host",
    ],
)
def test_a_url_is_shown_without_its_secrets(url):
    found = BrokerUrl.parse(url)
    for shown in (str(found), repr(found), f"{found}"):
        assert NASTY not in shown
        assert quote(NASTY, safe="") not in shown
        assert NASTY.replace("%", "%25") not in shown


def test_what_is_no_secret_is_shown():
    assert str(BrokerUrl.parse("redis://user:secret@host:1/0?lease=1s")) == "redis://user:***@host:1/0?lease=1s"


@given(st.text() | st.text().map(lambda each: "redis://" + each) | st.from_regex(r"[a-z]{0,5}://[^ ]{0,20}"))
def test_any_text_is_a_url_or_a_configuration_error(text):
    try:
        found = BrokerUrl.parse(text)
        assert isinstance(str(found), str)
        found.options(Options)
    except ConfigurationError:
        pass
