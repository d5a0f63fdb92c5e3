"""The docs name what there is: a public name, option, hook, claim or error that is not in its page fails here."""

import dataclasses
import inspect
import re
import textwrap
from pathlib import Path

import pytest
import typer

import waybill
import waybill.errors
from waybill import Capabilities, ConfigurationError, JobContext, JobService, Retry, Unique, Worker, open_driver
from waybill.cli.app import app
from waybill.driver import OPTIONAL, QueueDriver
from waybill.hooks import Specs
from waybill.jobs.options import JobOptions

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
HOOKS = [name for name in vars(Specs) if name.startswith("waybill_")]
ERRORS = [each for each in vars(waybill.errors).values() if inspect.isclass(each) and issubclass(each, Exception)]
VERBS = {name for protocol in (QueueDriver, *OPTIONAL) for name in vars(protocol) if not name.startswith("_")}
OWN_OPTIONS = {"--help"}
EXAMPLES = sorted(path.name for path in (ROOT / "examples").glob("*.py"))


def page(name):
    return (DOCS / name).read_text(encoding="utf-8")


def names_in(text):
    """The words of what is set as code, in a line or in a block."""
    code = re.findall(r"^```.*?^```|`[^`\n]+`", text, re.MULTILINE | re.DOTALL)
    return set(re.findall(r"\w+", " ".join(code)))


def row_of(name, text):
    """The line of a table that begins with *name*."""
    [row] = [line for line in text.splitlines() if re.match(rf"\| (`\w+`, )*`{name}`", line)]
    return row


def parameters(function):
    return [name for name, each in inspect.signature(function).parameters.items() if each.kind is not each.VAR_KEYWORD]


@pytest.mark.parametrize("name", waybill.__all__)
def test_a_public_name_is_in_the_reference(name):
    assert any(name in names_in(path.read_text(encoding="utf-8")) for path in (DOCS / "reference").glob("*.md"))


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_is_listed_with_its_parameters(hook):
    row = row_of(hook, page("how-to/hooks-and-plugins.md"))
    wanted = set(parameters(getattr(Specs, hook))) - {"self", "context", "err"}  # two names that are told once
    assert wanted == names_in(row.split(" | ")[-1]) - {"EnqueueResult", "timedelta"}


def test_the_names_that_hooks_may_use_instead_are_told():
    assert {"context", "err"} <= names_in(page("how-to/hooks-and-plugins.md"))


@pytest.mark.parametrize("option", [each.name for each in dataclasses.fields(JobOptions)])
def test_a_job_option_is_in_its_table(option):
    assert row_of(option, page("reference/jobs.md").partition("## Options\n")[2].partition("\n## ")[0])


@pytest.mark.parametrize("kind", [Retry, Unique])
def test_the_parts_of_retry_and_unique_are_told(kind):
    assert {each.name for each in dataclasses.fields(kind)} <= names_in(page("reference/jobs.md"))


@pytest.mark.parametrize("name", sorted(JobContext.__slots__))
def test_what_a_context_has_is_told(name):
    assert name.startswith("_") or name in names_in(page("reference/jobs.md"))


@pytest.mark.parametrize("protocol", OPTIONAL)
def test_an_optional_protocol_is_in_its_table(protocol):
    row = row_of(protocol.__name__, page("reference/driver-protocol.md"))
    verbs = {name for name in vars(protocol) if not name.startswith("_")}
    assert verbs <= names_in(row)


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_a_verb_of_the_protocol_is_told(verb):
    assert verb in names_in(page("reference/driver-protocol.md"))


@pytest.mark.parametrize("field", [each.name for each in dataclasses.fields(Capabilities)])
def test_a_capability_is_in_its_table(field):
    assert row_of(field, page("reference/driver-protocol.md"))


@pytest.mark.parametrize("error", ERRORS)
def test_an_error_is_in_the_tree_and_in_a_table(error):
    text = page("reference/errors.md")
    tree, tables = text.partition("```text")[2].split("```", 1)
    [line] = [line for line in tree.splitlines() if line.split()[:1] == [error.__name__]]
    also = {each.__name__ for each in error.__bases__ if each.__name__ in line.partition("(also")[2]}
    assert len(also) == len(error.__bases__) - 1
    if error.__subclasses__() and error in {waybill.WaybillError, waybill.EnqueueError}:
        return
    assert f"`{error.__name__}`" in tables


def test_the_tree_is_the_one_in_the_code():
    tree = page("reference/errors.md").partition("```text\n")[2].partition("```")[0]
    assert textwrap.indent(tree.rstrip(), "    ") in waybill.errors.__doc__


@pytest.mark.parametrize("scheme", ["memory", "sqlite"])
def test_the_options_of_a_url_are_in_its_table(scheme, tmp_path):
    with pytest.raises(ConfigurationError) as refusal:
        open_driver(f"{scheme}:///{tmp_path}/jobs.db?no-such-option=1")
    options = set(str(refusal.value).rpartition("Options: ")[2].split(", "))
    section = page("reference/urls.md").partition(f"## Options of {scheme}\n")[2].partition("\n## ")[0]
    assert options == set(re.findall(r"^\| `(\w+)`", section, re.MULTILINE))


@pytest.mark.parametrize(("kind", "name"), [(JobService, "reference/service.md"), (Worker, "reference/worker.md")])
def test_the_arguments_of_the_service_and_the_worker_are_told(kind, name):
    assert set(parameters(kind)) <= names_in(page(name))


@pytest.mark.parametrize("name", ["on_enqueued", "on_job_start", "on_job_complete", "on_job_failed"])
def test_the_single_hook_functions_are_told(name):
    assert name in names_in(page("how-to/hooks-and-plugins.md"))


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_in_the_list(example):
    assert f"]({example})" in (ROOT / "examples" / "README.md").read_text(encoding="utf-8")


def commands(group, path=()):
    """Each command of the command line, as (words, options)."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            long = [option for each in command.params for option in each.opts if option.startswith("--")]
            yield pytest.param(" ".join((*path, name)), long, id="-".join((*path, name)))


@pytest.mark.parametrize(("command", "options"), list(commands(typer.main.get_command(app))))
def test_a_command_and_its_options_are_told(command, options):
    text = page("how-to/operating.md")
    assert re.search(rf"\bwaybill {command}\b", text)
    assert [option for option in options if not re.search(rf"{option}\b", text) and option not in OWN_OPTIONS] == []


def unindented(text):
    return "".join(f"{line.strip()}\n" for line in text.splitlines())


def excerpts():
    """What the map of the code quotes: (files named by the heading, the lines)."""
    text = page("explanation/how-it-works.md")
    example = "../../tests/conformance/directory/waybill_directory/driver.py"
    quoted = re.findall(r"^```text\n(.*?)^```", page("how-to/write-a-driver.md"), re.MULTILINE | re.DOTALL)
    for place, lines in enumerate(quoted):
        yield pytest.param([example], lines, id=f"write-a-driver-{place}")
    for section in re.split(r"^###? ", text, flags=re.MULTILINE)[1:]:
        paths = re.findall(r"\]\((\S+?\.py)\)", section)
        for lines in re.findall(r"^```text\n(.*?)^```", section, re.MULTILINE | re.DOTALL):
            yield pytest.param(paths, lines, id=paths[0].rpartition("waybill/")[2])


@pytest.mark.parametrize(("paths", "lines"), list(excerpts()))
def test_the_map_quotes_the_code_as_it_is(paths, lines):
    sources = [(DOCS / "explanation" / path).read_text(encoding="utf-8") for path in paths]
    assert any(unindented(lines) in unindented(source) for source in sources)
