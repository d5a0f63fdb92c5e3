"""Every Python block of the READMEs and the docs runs, in order, one namespace per document."""

import ast
import asyncio
import contextlib
import inspect
import re
import subprocess
import sys
import types
from pathlib import Path

import pytest
from sybil import Document, Example, Sybil
from sybil.parsers.markdown import CodeBlockParser

from waybill_conformance.brokers import broker_or_skip

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
DOCUMENTS = [README, *sorted(ROOT.glob("packages/*/README.md")), *sorted((ROOT / "docs").rglob("*.md"))]
MISSPELT = re.compile(r"^\s*(?:```+|~~~+)\s*(py|pycon|python3|python\S+|Python\S*)\s*$", re.MULTILINE)


# Where documents have a server, tests start one.
SERVERS = {
    "redis://localhost:6379/0": "redis",
    "amqp://guest:guest@localhost:5672/": "rabbitmq",
    "nats://localhost:4222": "nats",
    "sqs://eu-central-1": "ministack",
}


class Script:
    """Runs blocks as one script would, where a block may also `await` at its top level."""

    def __init__(self, addresses: dict[str, str]) -> None:
        self.addresses = addresses
        self.module = types.ModuleType("__main__")  # annotations and dataclasses look their module up
        self.runner = asyncio.Runner()

    def run(self, example: Example) -> None:
        source = example.parsed
        for written, real in self.addresses.items():
            source = source.replace(written, real)
        first_line = example.line + example.parsed.line_offset
        source = "\n" * first_line + source  # so that a traceback shows the document's own line
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        code = compile(source, example.path, "exec", flags=flags, dont_inherit=True)
        result = eval(code, vars(self.module))
        if inspect.iscoroutine(result):
            self.runner.run(result)


def parse(path: Path, script: Script | None = None) -> Document:
    evaluate = script.run if script else None
    return Sybil([CodeBlockParser(language="python", evaluator=evaluate)]).parse(path)


@pytest.fixture
def serve():
    """Starts the servers that a document names; the URL of each, by the one that is written there."""
    started = []

    def serve(path):
        code = "".join(example.parsed for example in parse(path).examples())
        named = {url: kind for url, kind in SERVERS.items() if url in code}
        begun = {url: broker_or_skip(kind) for url, kind in named.items()}
        started.extend(begun.values())
        return {url: broker.url for url, broker in begun.items()}

    yield serve
    for broker in started:
        broker.stop()


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_python_blocks_of_a_document_run(path, tmp_path, monkeypatch, serve):
    script = Script(serve(path))
    monkeypatch.setitem(sys.modules, "__main__", script.module)
    monkeypatch.chdir(tmp_path)
    with script.runner:
        for example in parse(path, script).examples():
            example.evaluate()


@pytest.mark.parametrize("broker", ["sqlite", *SERVERS.values()])
def test_the_first_job_runs_on_every_broker_with_only_the_url_changed(broker, tmp_path):
    app = next(iter(parse(README).examples())).parsed
    assert app.count("sqlite:///jobs.db") == 1
    with broker_or_skip(broker) if broker != "sqlite" else contextlib.nullcontext() as server:
        url = "sqlite:///jobs.db" if server is None else server.url
        code = app.replace("sqlite:///jobs.db", url)
        done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "attempt 1: welcome u1 (en)\n"


def test_the_readme_has_code():
    assert list(parse(README).examples())


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_block_escapes_by_its_label(path):
    assert not MISSPELT.findall(path.read_text(encoding="utf-8")), "write ```python, so that the block runs"
