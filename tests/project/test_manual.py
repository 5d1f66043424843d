# SPDX-License-Identifier: MIT
"""The manual, the catalog, the completion and the examples against the code, both ways.

Manual pages are read as mdoc: under its heading, the item `.It Cm key` describes a key of the
configuration, `.It Fl -option` an option, and so on. What there is to describe is asked of the code
itself: its parser, the getters that read its configuration, its constants.
"""

from __future__ import annotations

import inspect
import os
import re
import shutil
import subprocess
import sys
import tomllib
from argparse import Action, ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fingerd_sd.commands import cli, exits, settings
from fingerd_sd.commands.publish import command as publish_command
from fingerd_sd.config.table import Table
from fingerd_sd.directory.answer import RESULTS
from fingerd_sd.process.log.journal import MESSAGE_IDS
from fingerd_sd.protocol import reply
from fingerd_sd.protocol.entry import ATOMS
from fingerd_sd.protocol.text import CUT_MARK
from fingerd_sd.sources import BUILT_IN

from ..helpers import needs
from .test_imports import FLOORS

TREE = Path(__file__).parents[2]
MAN = TREE / "packaging/man"
CATALOG = TREE / "packaging/catalog/fingerd-sd.catalog"
COMPLETION = TREE / "packaging/completion/fingerd-sd"
EXAMPLES = sorted((TREE / "packaging/example").glob("*.toml"))
UNITS = sorted(path for path in (TREE / "units").rglob("*") if path.is_file())
MODULE_PATHS = sorted((TREE / "fingerd_sd").rglob("*.py"))
CODE = "\n".join(path.read_text() for path in MODULE_PATHS)

COMMAND_PAGE, CONFIG_PAGE, UNIT_PAGE = "fingerd-sd.8", "fingerd.toml.5", "finger.socket.5"
PUBLISH_PAGE = "fingerd-sd-publish.1"  # the command's own: it is for every user
PAGES = sorted(path.name for path in MAN.iterdir())
OTHER_NAMES = [name for name in PAGES if "\n.so " in (MAN / name).read_text()]
REFERENCE = re.compile(r"man:([\w.-]+)\((\d)\)")
ID = re.compile(r"\b[0-9a-f]{32}\b")


@dataclass(frozen=True)
class Item:
    """One item of a list in a manual page. `heading`: `.Sh` and `.Ss` it stands under, "" for none;
    `head`: its `.It` line; `body`: what follows, as mdoc.
    """

    heading: tuple[str, str]
    head: str
    body: str

    @property
    def names(self) -> list[str]:
        """What the item is about, the first macro left out: "-h" and "--help" of `Fl h , -help`."""
        words = self.head.replace(r"\&", "").split(" ")
        macro = words.pop(0) if words[0] in ("Cm", "Fl", "Va", "Ev", "Dv", "Li") else ""
        told = re.split(r" (?:No|Ar) ", " ".join(words))[0].split(" , ")
        return [f"-{name}" for name in told] if macro == "Fl" else told

    @property
    def prose(self) -> str:
        """The lines of the body that are plain text, as one line."""
        return " ".join(line for line in self.body.splitlines() if not line.startswith("."))


def items(page: str, section: str, subsection: str | None = None) -> list[Item]:
    """Return the items of a section, of all its subsections unless one is named."""
    found: list[Item] = []
    for part in re.split(r"^(?=\.Sh )", (MAN / page).read_text(), flags=re.MULTILINE)[1:]:
        for below in re.split(r"^(?=\.Ss )", part, flags=re.MULTILINE):
            heading = (part.split("\n")[0][4:], below.split("\n")[0][4:] if below[2] == "s" else "")
            for item in re.split(r"^\.It ", below, flags=re.MULTILINE)[1:]:
                head, _, body = re.split(r"^\.El", item, flags=re.MULTILINE)[0].partition("\n")
                found.append(Item(heading, head, body))
    chosen = [i for i in found if i.heading[0] == section and subsection in (None, i.heading[1])]
    assert chosen, f"no items in {page}: {section}"
    return chosen


def names(page: str, section: str, subsection: str | None = None) -> list[str]:
    """Return what the items of a section are about, in its order."""
    return [name for item in items(page, section, subsection) for name in item.names]


# --- the configuration ---


@dataclass(frozen=True)
class Known:
    """What the code says of a key when it asks for it. None: it says nothing of that."""

    default: Any = None
    low: float | None = None
    high: float | None = None
    choices: Sequence[str] = ()

    @property
    def told(self) -> str:
        """The words by which the manual must end its item; "" where nothing can be required."""
        if self.default in (None, "", (), []):
            return ""
        told = f"default: {_toml(self.default)}."
        if self.low is None or self.high is None:
            return told
        return f"from {_toml(self.low)} to {_toml(self.high)}; {told}"


def _toml(value: Any) -> str:
    """Return `value` as a person writes it in TOML."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, float):
        return f"{value:.15g}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_toml, value))}]"
    return str(value)


ONE_OF_EACH = """
[server]
[publish]
[store]
url = "redis://store.example.org"
[web]
[[web.links]]
rel = "avatar"
href = "https://example.org/{user}.png"
[[audience]]
[[source]]
type = "static"
[[source.users.alice.links]]
rel = "self"
href = "https://example.org/"
[[source]]
type = "published"
[[source]]
type = "accounts"
[[source]]
type = "command"
argv = ["/usr/bin/finger", "-lm", "--", "{user}"]
[[source]]
type = "web"
url = "https://example.org/~{user}"
[[source]]
type = "unit"
path = "/run/finger/{user}"
"""
TABLES = {  # the table in ONE_OF_EACH, and the headings under which its keys are described
    "server": [("SERVER", "")],
    "publish": [("PUBLISHING", "")],
    "store": [("THE STORE", "")],
    "web": [("THE WEB", "")],
    "web.links[1]": [("THE WEB", "Links for everybody")],
    "audience[1]": [("AUDIENCES", "")],
    "source[1]": [("SOURCES", ""), ("STATIC SOURCES", "")],
    "source[1].users.alice": [("STATIC SOURCES", "Persons")],
    "source[1].users.alice.links[1]": [("STATIC SOURCES", "Links")],
    "source[2]": [("SOURCES", ""), ("PUBLISHED SOURCES", "")],
    "source[3]": [("SOURCES", ""), ("ACCOUNT SOURCES", "")],
    "source[4]": [("SOURCES", ""), ("COMMAND SOURCES", "")],
    "source[5]": [("SOURCES", ""), ("WEB SOURCES", "")],
    "source[6]": [("SOURCES", ""), ("UNIT SOURCES", "")],
}


@pytest.fixture
def known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Known]]:
    """Every key that the code asks for, by table."""
    asked: dict[str, dict[str, Known]] = {}

    def spy(name: str) -> None:
        original = getattr(Table, name)

        def getter(self: Table, key: str, *arguments: Any, **named: Any) -> Any:
            given = inspect.signature(original).bind(self, key, *arguments, **named).arguments
            told = {name: given[name] for name in Known.__annotations__ if name in given}
            if told or key not in asked.setdefault(self.key, {}):
                asked.setdefault(self.key, {})[key] = Known(**told)
            return original(self, key, *arguments, **named)

        monkeypatch.setattr(Table, name, getter)

    for name in ("value", "table", "text", "boolean", "integer", "seconds", "choice", "strings"):
        spy(name)
    file = tmp_path / "one-of-each.toml"
    file.write_text(ONE_OF_EACH)
    settings.load(file, None)
    return asked


def test_every_type_of_source_is_tried_here() -> None:
    types = {source["type"] for source in tomllib.loads(ONE_OF_EACH)["source"]}
    assert types == set(BUILT_IN)


@pytest.mark.parametrize("table", TABLES)
def test_the_manual_has_every_key_and_no_other(
    known: dict[str, dict[str, Known]], table: str
) -> None:
    told = [name for heading in TABLES[table] for name in names(CONFIG_PAGE, *heading)]
    assert sorted(told) == sorted(known[table])


def test_no_table_is_forgotten(known: dict[str, dict[str, Known]]) -> None:
    assert set(known) == set(TABLES)


@pytest.mark.parametrize("table", TABLES)
def test_the_manual_tells_defaults_ranges_and_choices(
    known: dict[str, dict[str, Known]], table: str
) -> None:
    for heading in TABLES[table]:
        for item in items(CONFIG_PAGE, *heading):
            for name in item.names:
                key = known[table][name]
                assert item.prose.casefold().endswith(key.told.casefold()), item
                for choice in key.choices:
                    assert rf"\(dq{choice}\(dq" in item.head


def test_the_manual_has_every_atom_and_no_other() -> None:
    assert tuple(names(CONFIG_PAGE, "AUDIENCES", "Atoms")) == ATOMS


def test_the_manual_has_every_type_of_source_and_no_other() -> None:
    (item,) = (item for item in items(CONFIG_PAGE, "SOURCES", "") if item.names == ["type"])
    assert set(re.findall(r"^\.Cm (\w+)", item.body, re.MULTILINE)) == set(BUILT_IN)


# --- the command ---


@pytest.fixture
def parser(monkeypatch: pytest.MonkeyPatch) -> ArgumentParser:
    """The parser of the command line."""
    parsers: list[ArgumentParser] = []

    def parse_args(self: ArgumentParser, _: Sequence[str]) -> Namespace:
        parsers.append(self)
        return Namespace(command="check", config=EXAMPLES[0])

    monkeypatch.setattr(ArgumentParser, "parse_args", parse_args)
    cli.main(["check"])
    return parsers[0]


def commands(parser: ArgumentParser) -> dict[str, ArgumentParser]:
    """Return the parsers of the commands by name."""
    (action,) = (action for action in parser._actions if action.dest == "command")
    assert isinstance(action.choices, dict)
    return action.choices


def options(parser: ArgumentParser) -> Iterator[Action]:
    """Return what begins with a hyphen."""
    return (action for action in parser._actions if action.option_strings)


def test_the_manual_has_every_option_of_every_command_and_no_other(parser: ArgumentParser) -> None:
    for name, command in {"": parser, **commands(parser)}.items():
        there = [option for action in options(command) for option in action.option_strings]
        own = (PUBLISH_PAGE, "OPTIONS") if name == "publish" else (COMMAND_PAGE, "COMMANDS", name)
        assert sorted(names(*own)) == sorted(there), name


COMPLETE = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
_fingerd_sd 2>/dev/null  # compopt complains where nobody types
printf '%s\\n' "${COMPREPLY[@]}"
"""


def proposed(*words: str) -> set[str]:
    """Return what bash proposes for the last of `words`."""
    needs.programs("bash")
    done = run("bash", "-c", COMPLETE, "bash", str(COMPLETION), "fingerd-sd", *words)
    assert (done.returncode, done.stderr) == (0, "")
    return set(done.stdout.split())


def test_bash_proposes_every_command_and_option_and_no_other(parser: ArgumentParser) -> None:
    assert proposed("") == set(commands(parser))
    for name, command in {"": parser, **commands(parser)}.items():
        there = {option for action in options(command) for option in action.option_strings}
        words = [name] if name else []
        assert proposed(*words, "-") == {option for option in there if option.startswith("--")}


def test_bash_proposes_files_for_config_and_users_to_ask_for(tmp_path: Path) -> None:
    (tmp_path / "who.toml").touch()
    assert proposed("check", "--config", f"{tmp_path}/w") == {f"{tmp_path}/who.toml"}
    assert "root" in proposed("ask", "ro")
    assert "root" in proposed("ask", "--explain", "--config", "who.toml", "ro")
    assert proposed("ask", "--from", "1") == set()
    assert proposed("publish", "--plan", f"{tmp_path}/w") == {f"{tmp_path}/who.toml"}
    assert proposed("publish", "--status", "") == proposed("publish", "") == set()
    assert proposed("publish", "--link", "") == set()


def test_the_manual_has_no_other_command(parser: ArgumentParser) -> None:
    section = (MAN / COMMAND_PAGE).read_text().split(".Sh COMMANDS\n")[1].split(".Sh ")[0]
    assert set(re.findall(r"^\.Ss (.*)$", section, re.MULTILINE)) == set(commands(parser))


def test_the_synopsis_has_every_argument_of_every_command(parser: ArgumentParser) -> None:
    synopsis = (MAN / COMMAND_PAGE).read_text().split(".Sh SYNOPSIS\n")[1].split(".Sh ")[0]
    told = {
        re.findall(r"\bCm (\w+)", form)[0]: set(
            re.findall(r"(?:Fl -|^\.Ar |Op Ar )(\w+)", form, re.MULTILINE)
        )
        for form in synopsis.split(".Nm\n")
        if "Cm " in form
    }
    own = (MAN / PUBLISH_PAGE).read_text().split(".Sh SYNOPSIS\n")[1].split(".Sh ")[0]
    assert told["publish"] == set()
    told["publish"] = set(re.findall(r"Fl -([\w-]+)", own))
    for name, command in commands(parser).items():
        there = {action.option_strings[-1].lstrip("-") for action in options(command)}
        there |= {action.dest for action in command._actions if not action.option_strings}
        assert told[name] == there - {"help"}, name


def test_the_help_names_the_manual_pages(parser: ArgumentParser) -> None:
    for page, section in re.findall(r"([\w.-]+)\((\d)\)", parser.epilog or ""):
        assert f"{page}.{section}" in PAGES


def test_the_manual_has_every_exit_status_and_no_other() -> None:
    there = {value for name, value in vars(exits).items() if name.startswith("EX_")}
    assert names(COMMAND_PAGE, "EXIT STATUS") == [str(status) for status in sorted(there)]
    there = {value for name, value in vars(publish_command).items() if name.startswith("EX_")}
    assert names(PUBLISH_PAGE, "EXIT STATUS") == [str(status) for status in sorted(there)]


def test_the_manual_has_every_answer_and_no_other() -> None:
    there = {text for name, text in vars(reply).items() if name.isupper() and type(text) is str}
    told = {item.names[0] for item in items(COMMAND_PAGE, "ANSWERS") if item.head.startswith("Li ")}
    assert told == there
    assert CUT_MARK in (MAN / COMMAND_PAGE).read_text()


def test_the_manual_has_every_variable_of_the_environment_and_no_other() -> None:
    there = set(re.findall(r'environ(?:ment)?\.get\(\s*"([A-Z_]+)"', CODE))
    libsystemds = {"LISTEN_FDS", "LISTEN_FDNAMES"}
    pythons = {"HOME", "TMPDIR", "TZ"}
    told = {name for page in (COMMAND_PAGE, PUBLISH_PAGE) for name in names(page, "ENVIRONMENT")}
    assert told == there | libsystemds | pythons


def test_the_manual_has_every_signal_and_no_other() -> None:
    faulthandlers = {"SIGABRT"}
    there = set(re.findall(r"\bsignal\.(SIG[A-Z]+)\b", CODE)) | faulthandlers
    assert set(names(COMMAND_PAGE, "SIGNALS")) == there


# --- the journal ---

FIELDS = set(re.findall("FINGER_[A-Z]+", CODE))
FIELDS_OF = {  # by event, where it has any
    "QUERY": FIELDS - {"FINGER_COUNT", "FINGER_USER"},
    "LIMITED": {"FINGER_CLIENT", "FINGER_AUDIENCE", "FINGER_RESULT", "FINGER_COUNT"},
    **{event: {"FINGER_SOURCE"} for event in ("SOURCE_FAILED", "SITE_FAILS", "SITE_BACK")},
    **{event: {"FINGER_USER"} for event in ("PUBLISHED", "REMOVED", "REFUSED", "EXPIRED")},
}


def test_the_manual_has_every_field_of_the_journal_and_no_other() -> None:
    told = set(names(COMMAND_PAGE, "JOURNAL")) - set(MESSAGE_IDS.values())
    assert told == FIELDS


def test_the_manual_has_every_result_and_no_other() -> None:
    (item,) = (i for i in items(COMMAND_PAGE, "JOURNAL") if i.names == ["FINGER_RESULT"])
    assert set(re.findall(r"^\.Li (\w+)", item.body, re.MULTILINE)) == set(RESULTS)


def test_the_manual_has_every_message_id_and_no_other() -> None:
    told = ID.findall("\n".join(item.head for item in items(COMMAND_PAGE, "JOURNAL")))
    assert sorted(told) == sorted(MESSAGE_IDS.values())


def catalog() -> dict[str, tuple[dict[str, str], str]]:
    """Return header and text of each entry of the catalog by its id."""
    entries = {}
    for entry in re.split("^-- ", CATALOG.read_text(), flags=re.MULTILINE)[1:]:
        head, _, text = entry.partition("\n\n")
        message_id, *lines = head.splitlines()
        assert message_id not in entries
        entries[message_id] = (dict(line.split(": ", 1) for line in lines), text)
    return entries


def test_the_catalog_has_every_message_id_and_no_other() -> None:
    assert sorted(catalog()) == sorted(MESSAGE_IDS.values())


@pytest.mark.parametrize("event", MESSAGE_IDS)
def test_an_entry_of_the_catalog_is_whole(event: str) -> None:
    header, text = catalog()[MESSAGE_IDS[event]]
    assert list(header) == ["Subject", "Defined-By", "Support", "Documentation"]
    assert header["Defined-By"] == "fingerd-sd"
    assert text.strip()
    fields = set(re.findall("@([A-Z_]+)@", header["Subject"] + text))
    assert fields <= FIELDS_OF.get(event, set())


def test_the_catalog_compiles(tmp_path: Path) -> None:
    needs.programs("journalctl")
    folder = tmp_path / "usr/lib/systemd/catalog"
    for made in (folder, tmp_path / "var/lib/systemd/catalog"):
        made.mkdir(parents=True)
    shutil.copy(CATALOG, folder)
    said = run("journalctl", f"--root={tmp_path}", "--update-catalog")
    assert (said.returncode, said.stdout + said.stderr) == (0, "")
    listed = run("journalctl", f"--root={tmp_path}", "--list-catalog").stdout
    assert sorted(ID.findall(listed)) == sorted(MESSAGE_IDS.values())


# --- the pages ---


def run(*command: str, cwd: Path = TREE, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `command` in a UTF-8 locale."""
    return subprocess.run(
        command, cwd=cwd, env={**os.environ, "LC_ALL": "C.UTF-8", **environment}, check=False,
        stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", timeout=60,
    )  # fmt: skip


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder with the pages as they are installed, which `.so` needs."""
    for name in PAGES:
        folder = tmp_path / f"man{name[-1]}"
        folder.mkdir(exist_ok=True)
        shutil.copy(MAN / name, folder)
    return tmp_path


@pytest.mark.parametrize("page", [name for name in PAGES if name not in OTHER_NAMES])
def test_mandoc_has_nothing_to_say_of_a_page(page: str) -> None:
    needs.programs("mandoc")
    said = run("mandoc", "-Tlint", "-Wwarning", str(MAN / page))
    assert (said.returncode, said.stdout + said.stderr) == (0, "")


@pytest.mark.parametrize("page", PAGES)
def test_man_renders_a_page_without_a_warning(installed: Path, page: str) -> None:
    needs.programs("man", "groff")
    said = run("man", "--warnings", "-l", f"man{page[-1]}/{page}", cwd=installed, MANWIDTH="80")
    assert (said.returncode, said.stderr) == (0, "")
    assert "\nDESCRIPTION\n" in said.stdout


def test_rendering_loses_no_word_of_an_answer(installed: Path) -> None:
    needs.programs("man", "groff")
    text = run("man", "-l", f"man8/{COMMAND_PAGE}", cwd=installed, MANWIDTH="80").stdout
    for item in items(COMMAND_PAGE, "ANSWERS"):
        # How far a line is indented, each release of groff decides.
        assert re.search(rf"^ +{re.escape(' '.join(item.names))}$", text, re.MULTILINE)


@pytest.mark.parametrize("file", [*UNITS, CATALOG], ids=lambda path: path.name)
def test_every_page_that_is_named_is_there(file: Path) -> None:
    for page, section in REFERENCE.findall(file.read_text()):
        assert f"{page}.{section}" in PAGES


def test_every_unit_names_its_page() -> None:
    for unit in UNITS:
        if unit.parent.name == "user":
            assert "man:fingerd-sd-publish(1)" in unit.read_text()
        elif unit.suffix in (".service", ".socket"):
            assert f"man:{unit.name}(5)" in unit.read_text()
            assert f"{unit.name}.5" in PAGES


def test_the_manual_tells_of_the_units_what_they_say() -> None:
    for unit, section in (("finger.socket", "THE SOCKET"), ("finger.service", "THE SERVICE")):
        lines = (TREE / "units" / unit).read_text().splitlines()
        for directive in names(UNIT_PAGE, section):
            assert directive in lines


# --- the examples ---


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_has_no_mistake(example: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", "--config", str(example)]) == exits.EX_OK
    assert capsys.readouterr().err == ""


def uncommented(text: str) -> str:
    """Return the example configuration with all that is commented out put in; `# prose` stays."""
    return re.sub(r"^#(?=\[|\w+ = )", "", text, flags=re.MULTILINE)


def test_what_the_example_comments_out_are_the_defaults(
    known: dict[str, dict[str, Known]], tmp_path: Path
) -> None:
    text = uncommented((TREE / "packaging/example/fingerd.toml").read_text())
    (tmp_path / "users.toml").touch()
    file = tmp_path / "fingerd.toml"
    file.write_text(text)
    settings.load(file, None)  # every key is known
    tables = tomllib.loads(text)
    there = [(tables[name], known[name]) for name in ("server", "publish", "store", "web")]
    there += [(table, known["audience[1]"]) for table in tables["audience"]]
    types = ("static", "published", "accounts", "command", "web", "unit")
    sources = {name: f"source[{number}]" for number, name in enumerate(types, 1)}
    there += [(table, known[sources[table["type"]]]) for table in tables["source"]]
    for values, keys in there:
        for key, value in values.items():
            default = keys[key].default
            if default not in (None, "", ()):  # what must be set has an example
                assert value == (list(default) if isinstance(default, tuple) else default), key
    for name in ("server", "publish", "store", "web"):
        assert set(tables[name]) == set(known[name])


def configurations() -> Iterator[tuple[str, str]]:
    """Return the configurations that documents show, each with a name for its test."""
    for document in ("README.md", "docs/configuration.md"):
        for number, block in enumerate(fenced(document, "toml"), 1):
            yield f"{document} {number}", block
    literal = re.findall(
        r"^\.Bd -literal[^\n]*\n(.*?)^\.Ed", (MAN / CONFIG_PAGE).read_text(), re.M | re.S
    )
    for number, block in enumerate(literal, 1):
        yield f"{CONFIG_PAGE} {number}", block


def fenced(document: str, language: str) -> list[str]:
    """Return the code of `language` that a Markdown document shows."""
    text = (TREE / document).read_text()
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in configurations()])
def test_a_configuration_in_the_documents_has_no_mistake(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    names = re.findall('^file = "(.*)"$', text, re.MULTILINE)
    names += re.findall('credential = "(.*?)"', text)
    for name in names:
        (tmp_path / name).touch()
    for module in re.findall('^type = "web"$', text, re.MULTILINE) and ("aiohttp", "lxml"):
        needs.modules(module)
    if "/usr/bin/finger" in text:
        needs.programs("finger")
    file = tmp_path / "fingerd.toml"
    file.write_text(text)
    assert settings.load(file, None).warnings == ()


def test_the_source_of_your_own_in_architecture_md_works(tmp_path: Path) -> None:
    blocks = {}
    for block in fenced("ARCHITECTURE.md", "(?:python|toml|csv)"):
        first, _, rest = block.partition("\n")
        blocks[first.removeprefix("# ")] = rest
    package = tomllib.loads(blocks.pop("pyproject.toml"))["project"]
    about = tmp_path / f"{package['name'].replace('-', '_')}-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package['name']}\nVersion: 1\n")
    lines = [
        f"{name} = {target}"
        for name, target in package["entry-points"]["fingerd_sd.sources"].items()
    ]
    (about / "entry_points.txt").write_text("\n".join(["[fingerd_sd.sources]", *lines]))
    for name, text in blocks.items():
        (tmp_path / name).write_text(text)

    def ask(user: str) -> tuple[int, str]:
        said = run(
            *(sys.executable, "-m", "fingerd_sd", "ask", "--config", "fingerd.toml", user),
            cwd=tmp_path, PYTHONPATH=f"{TREE}:{tmp_path}",
        )  # fmt: skip
        assert said.stderr == ""
        return said.returncode, said.stdout

    assert ask("alice") == (
        0,
        "Login: alice          \t\t\tName: Alice Liddell\nPlan:\nCuriouser and curiouser!\n",
    )
    assert ask("bob") == (1, "No such user\n")


# --- the documents ---

DOCUMENTS = sorted(
    str(path.relative_to(TREE)) for path in (*TREE.glob("*.md"), *TREE.glob("docs/*.md"))
)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_what_a_document_leads_to_is_there(document: str) -> None:
    text = (TREE / document).read_text()
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", text)
    assert [link for link in links if not (TREE / document).parent.joinpath(link).exists()] == []
    paths = re.findall(r"`((?:tests|units|packaging)/[\w./-]+)`", text)
    assert [path for path in paths if not (TREE / path).exists()] == []


def test_architecture_md_has_the_floors_in_their_order() -> None:
    (picture,) = fenced("ARCHITECTURE.md", "text")
    assert tuple(picture.split()) == FLOORS[:-1]


def test_architecture_md_has_every_room_and_no_other() -> None:
    rows = re.findall(
        r"^\| `([\w/]+)/` \|([^|]*)\|([^|]*)\|",
        (TREE / "ARCHITECTURE.md").read_text(),
        re.MULTILINE,
    )
    told = {floor: set(re.findall(r"`([a-z_]+)/?`", rooms)) for floor, _, rooms in rows}
    package = TREE / "fingerd_sd"
    folders = [*package.iterdir(), *(package / "serving").iterdir()]
    there = {
        str(folder.relative_to(package)): {
            path.stem for path in folder.iterdir() if not path.stem.startswith("__")
        }
        for folder in folders
        if folder.is_dir() and folder.name != "__pycache__"
    }
    assert told == there


def test_the_life_of_a_query_passes_through_floors_that_there_are() -> None:
    (picture,) = fenced("ARCHITECTURE.md", "mermaid")
    assert set(re.findall(r"subgraph (\w+)", picture)) <= set(FLOORS)
