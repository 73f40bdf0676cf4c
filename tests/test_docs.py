"""The pages say what the code says: tables, variables, flags, keys, codes and links, in both directions."""

import ast
import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import typer.main

from keyswap.addons.door import OPTIONS
from keyswap.cli import app
from keyswap.exchange import Code
from keyswap.policy import model, presets, schema
from keyswap.policy.load import parse
from keyswap.policy.schema import values

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "keyswap"
PAGES = ("README.md", "ARCHITECTURE.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md", "certs/README.md")
CODE = (*sorted(SOURCE.rglob("*.py")), ROOT / "scripts" / "bootstrap", ROOT / "Makefile", ROOT / "addons" / "swap.py")

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
ROW = re.compile(r"^\|(.*)\|$")
TERM = re.compile(r"`([^`]+)`")

KEYS_OF: Mapping[str, tuple[type[schema.Part], ...]] = {
    "The file": (schema.Document,),
    "credentials": (schema.Credential,),
    "placeholder": (schema.Placeholder,),
    "egress and deny": (schema.Entry, schema.Deny),
    "profiles": (schema.Profile,),
    "sessions": (schema.Session,),
    "limits": (schema.Limits,),
    "audit": (schema.Audit,),
}
"""Heading under `Policy keys` → the types whose fields it lists."""


def page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def section(text: str, title: str) -> str:
    """What stands under a heading, up to the next one of its level or above."""
    found = re.search(rf"^(#+) {re.escape(title)}$", text, re.MULTILINE)
    assert found, f"there is no heading {title!r}"
    rest = text[found.end() :]
    end = re.search(rf"^#{{1,{len(found[1])}}} ", rest, re.MULTILINE)
    return rest[: end.start()] if end else rest


def rows(text: str) -> Iterator[list[str]]:
    """The cells of each row of the tables in `text`, without heads."""
    lines = text.splitlines()
    for at, line in enumerate(lines):
        found = ROW.match(line)
        head = at + 1 < len(lines) and lines[at + 1].startswith("|---")
        if found and not head and not line.startswith("|---"):
            yield [cell.strip() for cell in found[1].split("|")]


def marked(name: str) -> str:
    """The fenced block of the README that the comment `<!-- test: name -->` stands before."""
    _, found, rest = page("README.md").partition(f"<!-- test: {name} -->\n")
    assert found, f"the README marks no block {name!r}"
    match = FENCE.match(rest)
    assert match, f"no fence follows the mark {name!r}"
    return match[2]


def terms(text: str) -> set[str]:
    return set(TERM.findall(text))


def test_the_precedence_table_is_the_one_of_decide() -> None:
    docstring = ast.get_docstring(ast.parse((SOURCE / "policy" / "decide.py").read_text()), clean=False) or ""
    paragraph = next(each for each in docstring.split("\n\n") if each.lstrip().startswith("#  question"))
    assert marked("precedence") == textwrap.dedent(paragraph.strip("\n")) + "\n"


def test_every_variable_of_the_code_is_in_the_readme_and_the_other_way_round() -> None:
    name = re.compile(r"\bKEYSWAP_[A-Z0-9]+(?:_[A-Z0-9]+)*\b")
    used = {found for path in CODE for found in name.findall(path.read_text())}
    listed = section(page("README.md"), "Settings")
    assert set(name.findall(listed)) == set(name.findall(page("README.md"))) == used


def test_every_option_of_the_door_is_in_the_readme_and_the_other_way_round() -> None:
    settings = [cells for cells in rows(section(page("README.md"), "Settings")) if len(cells) == 5]
    listed = {term for cells in settings for term in terms(cells[3])}
    assert listed == set(OPTIONS)
    assert set(re.findall(r"--set (keyswap_\w+)", page("README.md"))) <= listed


def commands() -> dict[str, set[str]]:
    """Each command line → its flags."""
    found: dict[str, set[str]] = {}

    def walk(command: Any, name: str) -> None:
        if hasattr(command, "commands"):
            for each in command.commands.values():
                walk(each, f"{name} {each.name}")
        else:
            options = (each for each in command.params if each.param_type_name == "option")
            found[name] = {flag for option in options for flag in (*option.opts, *option.secondary_opts)}

    walk(typer.main.get_command(app), "keyswap")
    return found


def test_every_command_and_flag_is_in_the_readme_and_the_other_way_round() -> None:
    told = {
        cells[0].strip("`"): terms(cells[1])
        for cells in rows(section(page("README.md"), "Settings"))
        if cells[0].startswith("`keyswap ")
    }
    assert told == commands()


def test_every_flag_that_the_readme_speaks_of_exists() -> None:
    ours = {flag for flags in commands().values() for flag in flags}
    others = {"--proxy", "--cacert", "--listen-host", "--listen-port", "--set", "--quiet"}  # of curl, mitmdump and git
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", page("README.md"))) <= ours | others


def test_the_readme_names_no_command_that_does_not_exist() -> None:
    words = {" ".join(name.split()[1:2]) for name in commands()}
    said = set(re.findall(r"`keyswap ([a-z]+)", page("README.md").partition("## Not in this version")[0]))
    assert said <= words


@pytest.mark.parametrize("title", KEYS_OF)
def test_every_policy_key_is_in_the_readme_and_the_other_way_round(title: str) -> None:
    listed = [cells[0].strip("`") for cells in rows(section(section(page("README.md"), "Policy keys"), title))]
    assert sorted(listed) == sorted({name for part in KEYS_OF[title] for name in part.model_fields})


def test_every_part_of_the_policy_has_its_table() -> None:
    parts = {getattr(schema, name) for name in schema.__all__ if name not in ("json_schema", "Part", "Matcher")}
    assert parts == {part for those in KEYS_OF.values() for part in those}


def test_the_entries_of_deny_have_the_keys_told_for_both() -> None:
    both, _, egress_only = section(page("README.md"), "egress and deny").partition("In `egress` only:")
    assert {cells[0].strip("`") for cells in rows(both)} == set(schema.Deny.model_fields)
    assert {cells[0].strip("`") for cells in rows(egress_only)} == set(schema.Entry.model_fields) - set(
        schema.Deny.model_fields
    )


@pytest.mark.parametrize(("title", "defaults"), [("limits", model.Limits()), ("audit", model.AuditSettings())])
def test_the_defaults_in_the_readme_are_those_of_the_code(title: str, defaults: Any) -> None:
    said = {
        cells[0].strip("`"): cells[1].strip("`")
        for cells in rows(section(section(page("README.md"), "Policy keys"), title))
    }
    assert {name: plain(text) for name, text in said.items()} == {
        field.name: getattr(defaults, field.name) for field in fields(defaults)
    }


def plain(text: str) -> object:
    """A default as the README writes it, as the value that the policy has."""
    if text == "none":
        return None
    if text.isdecimal():
        return int(text)
    if re.fullmatch(r"[0-9]+[KMG]iB", text):
        return values._size(text)
    if re.fullmatch(r"[0-9]+(ms|s|m|h|d)", text):
        return values._duration(text)
    return text


def test_every_refusal_code_is_in_the_readme_with_its_status() -> None:
    told = [cells[:2] for cells in rows(section(page("README.md"), "What a refused client sees"))]
    assert told == [[f"`{code.value}`", str(code.status)] for code in Code]


def test_every_preset_is_named() -> None:
    text = section(page("README.md"), "The policy")
    sentence = re.search(r"look of the placeholder for (.*?);", text, re.DOTALL)
    assert sentence
    assert re.findall(r"[a-z]+", sentence[1].replace(" or ", " ")) == list(presets.PRESETS)


def test_the_policy_in_the_readme_loads_without_a_warning() -> None:
    loaded = parse(marked("policy"), "/etc/keyswap/policy.yaml")
    assert loaded.warnings == ()
    assert {"anthropic", "github"} == set(loaded.credentials)


@pytest.mark.parametrize("name", PAGES)
def test_every_link_leads_to_a_file_or_a_heading(name: str) -> None:
    text = page(name)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("https://", "http://")):
            continue
        path, _, anchor = target.partition("#")
        file = (ROOT / name).parent / path if path else ROOT / name
        assert file.exists(), f"{name} links to {target}"
        if anchor:
            assert anchor in anchors(file.read_text(encoding="utf-8")), f"{name} links to {target}"


def anchors(text: str) -> set[str]:
    """The anchors that a page's headings get."""
    titles = re.findall(r"^#+ (.+)$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_path_that_architecture_names_exists() -> None:
    named = {term for term in terms(page("ARCHITECTURE.md")) if re.fullmatch(r"[\w./-]+(\.(py|yaml|json)|/)", term)}
    assert len(named) > 20
    assert [path for path in sorted(named) if not ((ROOT / path).exists() or (SOURCE / path).exists())] == []


def test_architecture_names_every_room() -> None:
    rooms = {path.parent.name for path in SOURCE.glob("*/__init__.py")}
    assert {f"{room}/" for room in rooms} <= terms(page("ARCHITECTURE.md"))


def test_security_promises_what_tests_show_and_nothing_else() -> None:
    """By the ids in their names; one that no test bears is not promised yet."""
    borne = {
        found
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"\bdef (test_S\d+(?:_S\d+)*)", path.read_text(encoding="utf-8"))
        for found in re.findall(r"S\d+", name)
    }
    promised = {cells[0] for cells in rows(section(page("SECURITY.md"), "What is promised"))}
    assert borne == promised


def test_security_names_the_versions_that_the_lock_raises() -> None:
    raised = re.findall(r"^(\w+)>=([\d.]+)$", page("scripts/raised.txt"), re.MULTILINE)
    told = {cells[0]: cells[2] for cells in rows(section(page("SECURITY.md"), "Dependencies"))}
    assert told == {name: f"{version} or newer" for name, version in raised}


def test_the_changelog_has_an_unreleased_section_of_known_kinds() -> None:
    kinds = re.findall(r"^### (.+)$", section(page("CHANGELOG.md"), "[Unreleased]"), re.MULTILINE)
    assert kinds
    assert set(kinds) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_contributing_and_readme_name_targets_that_make_has() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", page("Makefile"), re.MULTILINE))
    for name in PAGES:
        assert set(re.findall(r"(?:^ {4}|`)make ([a-z0-9-]+)", page(name), re.MULTILINE)) <= targets, name
