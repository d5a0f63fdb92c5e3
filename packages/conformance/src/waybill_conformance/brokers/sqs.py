"""SQS, DynamoDB and Scheduler, emulated."""

import http.client
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import parse_qs, quote, urlencode, urlsplit, urlunsplit

from .kind import BrokerKind, Command, Site
from .ports import LOOPBACK

ANYBODY = "emulated:needs-none"
"""Key and secret, which an emulator wants and does not look at."""

# An emulator looks at the signature's scope to find the service, and checks nothing of it.
ASK_FOR_QUEUES = {
    "Authorization": "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/sqs/aws4_request, "
    "SignedHeaders=host, Signature=0",
    "Content-Type": "application/x-amz-json-1.0",
    "X-Amz-Target": "AmazonSQS.ListQueues",
}


# Python runs it before MiniStack. Its HTTP server keeps a connection whose client has gone until it has been idle for
# 75 s; the proxy's ends of it are files of the tests' process, where a driver would seem to have left them open.
MENDED = """
try:
    from hypercorn.asyncio.tcp_server import TCPServer
except ImportError:
    pass
else:
    read = TCPServer._read_data
    async def read_and_leave(self):
        await read(self)
        await self.idle_task.stop()
    TCPServer._read_data = read_and_leave
"""


@dataclass(frozen=True)
class Sqs(BrokerKind):
    """AWS as moto has it, in memory; any credentials will do. Its Scheduler keeps schedules and never fires them."""

    name: ClassVar = "sqs"
    schemes: ClassVar[Sequence[str]] = ("sqs",)
    port: ClassVar = 5000
    module: ClassVar = "moto.server"
    cure: ClassVar = 'pip install "waybill-conformance[sqs]"'

    image: str = "motoserver/moto:latest"
    region: str = "us-east-1"

    @property
    def keeps(self) -> bool:
        """No: everything is in memory, where the real service loses nothing."""
        return False

    def commands(self, site: Site) -> Sequence[Command]:
        return [Command([site.program, "-m", self.module, "-H", LOOPBACK, "-p", str(site.port)])]

    def ready(self, host: str, port: int) -> bool:
        asking = http.client.HTTPConnection(host, port, timeout=2)
        try:
            asking.request("POST", "/", json.dumps({}), ASK_FOR_QUEUES)
            return asking.getresponse().status == http.HTTPStatus.OK
        except http.client.HTTPException:
            return False
        finally:
            asking.close()

    def url(self, host: str, port: int) -> str:
        endpoint = quote(f"http://{host}:{port}", safe=":/")
        return f"sqs://{ANYBODY}@{self.region}?endpoint_url={endpoint}"

    def address(self, url: str) -> tuple[str, int] | None:
        endpoint = urlsplit(parse_qs(urlsplit(url).query).get("endpoint_url", [""])[0])
        if endpoint.scheme != "http" or not endpoint.hostname:
            return None  # the real service, or TLS
        return endpoint.hostname, endpoint.port or 80

    def moved(self, url: str, host: str, port: int) -> str:
        parts = urlsplit(url)
        options = {key: values[-1] for key, values in parse_qs(parts.query).items()}
        options["endpoint_url"] = f"http://{host}:{port}"
        return urlunsplit((*parts[:3], urlencode(options, safe=":/"), parts.fragment))


@dataclass(frozen=True)
class MiniStack(Sqs):
    """AWS as MiniStack has it. Its Scheduler does fire: every 10 s it looks for what is due.

    The real service loses nothing when it is out of reach for a while. So that a restart means that here too, this one
    is asked to end: it saves what it has only then.
    """

    name: ClassVar = "ministack"
    schemes: ClassVar = ()  # "sqs" means the one above
    module: ClassVar = ""
    program: ClassVar = "ministack"
    requirement: ClassVar = "ministack==1.5.33"
    gentle: ClassVar = True
    cure: ClassVar = "let pip install ministack==1.5.33 into an environment of its own, or put it on PATH"

    image: str = ""
    services: str = "sqs,dynamodb,scheduler"
    """Which of its services start; "lambda" runs functions as processes beside it."""

    @property
    def keeps(self) -> bool:
        """Yes, as it is asked to end."""
        return True

    def commands(self, site: Site) -> Sequence[Command]:
        folder = str(site.folder)
        (site.folder / "sitecustomize.py").write_text(MENDED, encoding="ascii")
        env = {
            "PYTHONPATH": folder,
            "BIND_HOST": LOOPBACK,
            "GATEWAY_PORT": str(site.port),
            "SERVICES": self.services,
            "LAMBDA_EXECUTOR": "local",
            "PERSIST_STATE": "1",
            "STATE_DIR": f"{folder}/state",
            "HOME": folder,
            "TMPDIR": folder,
            "S3_DATA_DIR": folder,
            "DOCKER_HOST": f"unix://{folder}/none.sock",  # at its start it removes containers that it takes for its own
        }
        return [Command([site.program], env)]
