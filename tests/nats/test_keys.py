"""Users who log in with a key: the server knows its public half, and the file holds the secret one."""

import base64
import json
import os
import time

import nkeys
import pytest

from waybill.errors import ConfigurationError
from waybill_nats import NatsDriver

from .conftest import Process, take

UNLIMITED = {"subs": -1, "data": -1, "payload": -1}
LIMITS = UNLIMITED | dict.fromkeys(
    ("imports", "exports", "conn", "leaf", "mem_storage", "disk_storage", "streams", "consumer"), -1
)


class Key:
    """A new pair of keys."""

    def __init__(self, prefix):
        self.seed = nkeys.encode_seed(os.urandom(32), prefix)
        self._pair = nkeys.from_seed(self.seed)
        self.public = self._pair.public_key.decode()

    def signed(self, subject, kind, **claims):
        """A token that says who the subject is."""
        name = {"jti": os.urandom(8).hex(), "iat": int(time.time()), "iss": self.public, "sub": subject.public}
        parts = {"typ": "JWT", "alg": "ed25519-nkey"}, name | {"nats": {"type": kind, "version": 2, **claims}}
        text = ".".join(_encoded(json.dumps(part).encode()) for part in parts)
        return f"{text}.{_encoded(self._pair.sign(text.encode()))}"


def _encoded(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


@pytest.fixture
def user():
    return Key(nkeys.PREFIX_BYTE_USER)


@pytest.fixture
def keyed(program, user):
    """A server that knows one user by a public key."""
    config = f"authorization {{{{ users: [ {{{{ nkey: {user.public} }}}} ] }}}}"
    process = Process(program, f"jetstream {{{{ store_dir: {{folder}}/js }}}}\n{config}")
    yield process
    process.stop()


@pytest.fixture
def chartered(program):
    """A server that trusts an operator, and the account of its users."""
    operator, system, account = (
        Key(each) for each in (nkeys.PREFIX_BYTE_OPERATOR, nkeys.PREFIX_BYTE_ACCOUNT, nkeys.PREFIX_BYTE_ACCOUNT)
    )
    accounts = ", ".join(
        f'{each.public}: "{operator.signed(each, "account", limits=limits)}"'
        for each, limits in ((system, UNLIMITED | {"conn": -1}), (account, LIMITS | {"wildcards": True}))
    )
    process = Process(
        program,
        "jetstream {{ store_dir: {folder}/js }}\n"
        f'operator: "{operator.signed(operator, "operator")}"\n'
        f"system_account: {system.public}\nresolver: MEMORY\nresolver_preload: {{{{ {accounts} }}}}",
    )
    process.account = account
    yield process
    process.stop()


def credentials(account, user):
    token = account.signed(user, "user", **UNLIMITED)
    return (
        f"-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{user.seed.decode()}\n------END USER NKEY SEED------\n"
    )


async def works(driver, message):
    await driver.open()
    await driver.enqueue(message("a"))
    assert [each.message.id for each in await take(driver)] == ["a"]
    await driver.close()


async def is_refused(driver):
    with pytest.raises(ConfigurationError, match="does not accept this user"):
        await driver.open()
    await driver.close()


async def test_a_user_with_a_key_is_let_in_and_another_is_not(keyed, user, tmp_path, message):
    for name, key in (("user.nk", user), ("other.nk", Key(nkeys.PREFIX_BYTE_USER))):
        (tmp_path / name).write_bytes(key.seed + b"\n")
    await works(NatsDriver(keyed.url, nkey=str(tmp_path / "user.nk")), message)
    await is_refused(NatsDriver(keyed.url, nkey=str(tmp_path / "other.nk")))
    await is_refused(NatsDriver(keyed.url))


async def test_a_user_with_credentials_is_let_in_and_another_accounts_is_not(chartered, user, tmp_path, message):
    stranger = Key(nkeys.PREFIX_BYTE_ACCOUNT)
    for name, account in (("user.creds", chartered.account), ("other.creds", stranger)):
        (tmp_path / name).write_text(credentials(account, user))
    await works(NatsDriver(chartered.url, creds=str(tmp_path / "user.creds")), message)
    await is_refused(NatsDriver(chartered.url, creds=str(tmp_path / "other.creds")))
