"""The house rules that no linter knows, held over the syntax tree of every file.

Each rule is a function from source to what breaks it, and is first shown a file that does.
"""

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SRC = ROOT / "src" / "keyswap"
FILES = sorted(SRC.rglob("*.py"))
LONGEST = 400

QUIET = (
    "exchange.py",
    *(f"policy/{name}" for name in ("schema", "model.py", "decide.py", "hosts.py", "addresses.py", "paths.py")),
    "rewrite",
    "audit/record.py",
    "audit/chain.py",
)
LOUD_MODULES = frozenset(
    [
        "aiohttp",
        "asyncio",
        "concurrent",
        "fcntl",
        "fileinput",
        "ftplib",
        "getpass",
        "glob",
        "http",
        "httpx",
        "importlib",
        "io",
        "logging",
        "mmap",
        "multiprocessing",
        "os",
        "pathlib",
        "pickle",
        "queue",
        "random",
        "requests",
        "resource",
        "runpy",
        "sched",
        "secrets",
        "select",
        "selectors",
        "shelve",
        "shutil",
        "signal",
        "smtplib",
        "socket",
        "socketserver",
        "sqlite3",
        "ssl",
        "structlog",
        "subprocess",
        "sys",
        "tempfile",
        "threading",
        "time",
        "urllib3",
        "uuid",
        "watchfiles",
    ]
)
LOUD_CALLS = frozenset({"open", "print", "input", "exec", "eval", "compile", "__import__", "breakpoint"})
CLOCKS = frozenset({"now", "utcnow", "today"})
REGISTRIES = tuple(
    ".".join(labels)
    for labels in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("npmjs", "org"),
        ("npmjs", "com"),
        ("yarnpkg", "com"),
        ("crates", "io"),
        ("rubygems", "org"),
        ("proxy", "golang", "org"),
        ("maven", "org"),
        ("packagist", "org"),
        ("debian", "org"),
        ("ubuntu", "com"),
    )
)
DOOR_MAY_HOLD = (ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign, ast.FunctionDef)


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, absolute module) of every import, wherever it stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.lineno, node.module
            if node.module == "keyswap" or node.module.startswith("keyswap."):
                yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def reveals(tree: ast.AST) -> list[int]:
    """Lines that take the bytes out of a Secret, by name or by a name in a string."""
    return [
        node.lineno
        for node in ast.walk(tree)
        if (isinstance(node, ast.Attribute) and node.attr == "reveal")
        or (isinstance(node, ast.Constant) and node.value == "reveal")
    ]


def noises(tree: ast.AST) -> list[str]:
    """What reaches out of a quiet room: modules that do I/O, clocks, chance, and calls that do."""
    found = [f"{line}: import {name}" for line, name in imports(tree) if name.partition(".")[0] in LOUD_MODULES]
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = node.func
            if isinstance(called, ast.Name) and called.id in LOUD_CALLS:
                found.append(f"{node.lineno}: {called.id}()")
            elif isinstance(called, ast.Attribute) and called.attr in CLOCKS:
                found.append(f"{node.lineno}: .{called.attr}()")
        elif isinstance(node, ast.AsyncFunctionDef | ast.Await):
            found.append(f"{node.lineno}: async")
    return found


def asserts(tree: ast.AST) -> list[int]:
    return [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Assert)]


def engine_imports(tree: ast.AST) -> list[int]:
    return [line for line, name in imports(tree) if name.partition(".")[0] == "mitmproxy"]


def door_logic(tree: ast.Module) -> list[str]:
    """Statements a door must not hold: all but a docstring, imports and one assignment or straight function."""
    body = tree.body[1:] if ast.get_docstring(tree) else tree.body
    found = [f"{node.lineno}: {type(node).__name__}" for node in body if not isinstance(node, DOOR_MAY_HOLD)]
    found += [f"{node.lineno}: one too many" for node in [n for n in body if not _is_import(n)][1:]]
    branching = (ast.If, ast.For, ast.While, ast.Try, ast.With, ast.IfExp, ast.BoolOp, ast.Lambda, ast.comprehension)
    return found + [type(node).__name__ for node in ast.walk(tree) if isinstance(node, branching)]


def _is_import(node: ast.stmt) -> bool:
    return isinstance(node, ast.Import | ast.ImportFrom)


def unexplained_length(source: str) -> bool:
    """Whether the file is above the limit and the first lines of its docstring do not say `Long because …`."""
    docstring = ast.get_docstring(ast.parse(source)) or ""
    return len(source.splitlines()) > LONGEST and not any(
        line.startswith("Long because ") for line in docstring.splitlines()[:4]
    )


def registries(text: str) -> list[str]:
    return [name for name in REGISTRIES if name in text.lower()]


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def inside(path: Path, *rooms: str) -> bool:
    """Whether the file is one of these files, or below one of these rooms."""
    name = path.relative_to(SRC).as_posix()
    return any(name == room or name.startswith(f"{room}/") for room in rooms)


def tracked() -> list[Path]:
    """What git tracks, or would if everything were added."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).is_file()]


def test_each_rule_sees_the_file_that_breaks_it() -> None:
    assert reveals(ast.parse("def f(s):\n    return s.reveal()")) == [2]
    assert reveals(ast.parse("getattr(s, 'reveal')")) == [1]
    assert asserts(ast.parse("def f(x):\n    assert x")) == [2]
    assert engine_imports(ast.parse("def f():\n    from mitmproxy.http import Request")) == [2]
    assert engine_imports(ast.parse("import mitmproxy.http")) == [1]
    for source in ("import os", "from time import time", "open('x')", "datetime.now()", "async def f(): ..."):
        assert noises(ast.parse(source)), source
    for source in (
        "x = 1\ny = 2",
        "if x: pass",
        "addons = [a for a in b]",
        "def f():\n    try: g()\n    except E: pass",
    ):
        assert door_logic(ast.parse(source)), source
    assert unexplained_length('"""Long."""\n' + "x = 1\n" * LONGEST)
    assert not unexplained_length('"""A table.\n\nLong because it is one table.\n"""\n' + "x = 1\n" * LONGEST)
    assert registries("https://" + REGISTRIES[0] + "/simple") == [REGISTRIES[0]]


def test_no_rule_is_asked_of_nothing() -> None:
    assert len(FILES) > 20
    for room in QUIET:
        assert (SRC / room).exists(), f"no {room}"
        assert any(inside(path, room) for path in FILES)


def test_S42_a_secret_is_revealed_in_rewrite_and_credentials_only() -> None:
    elsewhere = [path for path in FILES if not inside(path, "rewrite", "credentials")]
    assert {str(path): lines for path in elsewhere if (lines := reveals(parse(path)))} == {}


def test_quiet_rooms_do_no_io_and_read_no_clock() -> None:
    # A `__main__` is a command that prints what the room beside it says.
    quiet = [path for path in FILES if inside(path, *QUIET) and path.name != "__main__.py"]
    assert {str(path): found for path in quiet if (found := noises(parse(path)))} == {}


def test_no_assert_guards_anything_in_src() -> None:
    """`python -O` removes them."""
    assert {str(path): lines for path in FILES if (lines := asserts(parse(path)))} == {}


def test_the_engine_is_imported_by_addons_and_serve_only() -> None:
    elsewhere = [path for path in FILES if not inside(path, "addons", "cli/serve.py")]
    assert {str(path): lines for path in elsewhere if (lines := engine_imports(parse(path)))} == {}


def test_a_file_above_400_lines_says_why_at_its_top() -> None:
    assert [str(path) for path in FILES if unexplained_length(path.read_text(encoding="utf-8"))] == []


def test_the_door_holds_no_logic() -> None:
    assert door_logic(parse(ROOT / "addons" / "swap.py")) == []


def test_no_tracked_file_names_a_package_registry() -> None:
    """A lock or a document with an address in it would send everybody there, whatever their installer is set to."""
    named = {}
    for path in tracked():
        if found := registries(path.read_bytes().decode("utf-8", errors="replace")):
            named[str(path.relative_to(ROOT))] = found
    assert named == {}
