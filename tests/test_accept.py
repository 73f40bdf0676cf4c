"""`make accept` passes a line only on evidence: what is missing, skipped or failing shows nothing."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "accept"

TESTS = """
import pytest

def test_S1_good(): pass

def test_S10_bad(): assert False

@pytest.mark.parametrize("n", [1, 2])
def test_many(n): assert n == 1

def test_skipped(): pytest.skip("no node here")

@pytest.mark.xfail
def test_expected(): assert False

@pytest.fixture
def broken():
    yield
    raise OSError

def test_breaks_after(broken): pass
"""
LINES = {
    "a good test": ("PASS", "{tests: ['tests/test_a.py::test_S1_good']}"),
    "one requirement": ("PASS", "{requirements: [S1]}"),
    "a command": ("PASS", "{commands: [{run: 'true', within: 20}]}"),
    "nothing": ("FAIL", "{}"),
    "a missing test": ("FAIL", "{tests: ['tests/test_a.py::test_S1_good', 'tests/test_a.py::test_gone']}"),
    "a missing file": ("FAIL", "{tests: ['tests/test_gone.py']}"),
    "a file that cannot be imported": ("FAIL", "{tests: ['tests/test_broken.py']}"),
    "one parameter of two": ("FAIL", "{tests: ['tests/test_a.py::test_many']}"),
    "the good parameter alone": ("PASS", "{tests: ['tests/test_a.py::test_many[1]']}"),
    "a failing requirement": ("FAIL", "{requirements: [S1, S10]}"),
    "a requirement without a test": ("FAIL", "{requirements: [S2]}"),
    "a skipped test": ("FAIL", "{tests: ['tests/test_a.py::test_skipped']}"),
    "a test expected to fail": ("FAIL", "{tests: ['tests/test_a.py::test_expected']}"),
    "a broken fixture": ("FAIL", "{tests: ['tests/test_a.py::test_breaks_after']}"),
    "a failing command": ("FAIL", "{commands: [{run: 'exit 3'}]}"),
    "a slow command": ("FAIL", "{commands: [{run: 'sleep 20', within: 0.2}]}"),
}


def accept(directory: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(directory / "scripts" / "accept"), *argv]
    return subprocess.run(command, capture_output=True, text=True, timeout=50, check=False, cwd=directory)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A small checkout with the real script and the tests above."""
    for name in ("scripts", "tests/acceptance"):
        (tmp_path / name).mkdir(parents=True)
    shutil.copy(SCRIPT, tmp_path / "scripts" / "accept")
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "tests" / "test_a.py").write_text(TESTS)
    for folder in ("one", "two"):  # conftests of different folders make pytest hash its plugins
        (tmp_path / "tests" / folder).mkdir()
        (tmp_path / "tests" / folder / "conftest.py").write_text("def pytest_runtest_setup(item): pass\n")
        (tmp_path / "tests" / folder / f"test_{folder}.py").write_text("def test_S1_too(): pass\n")
    (tmp_path / "tests" / "test_broken.py").write_text("import nothing_of_that_name\n")
    return tmp_path


def test_each_line_gets_the_verdict_its_evidence_earns(checkout: Path) -> None:
    entries = [{"says": says, **yaml.safe_load(shown)} for says, (_, shown) in LINES.items()]
    (checkout / "tests" / "acceptance" / "milestone7.yaml").write_text(yaml.safe_dump({"lines": entries}))
    done = accept(checkout, "7")
    verdicts = {line[6:]: line[:4] for line in done.stdout.splitlines() if line.startswith(("PASS  ", "FAIL  "))}
    assert {says: verdicts.get(says) for says in LINES} == {says: verdict for says, (verdict, _) in LINES.items()}
    assert done.returncode == 1
    assert "[tests/test_a.py::test_gone] missing: there is no such test" in done.stdout
    assert "skipped: no node here" in done.stdout


def test_the_exit_code_is_0_where_all_pass(checkout: Path) -> None:
    (checkout / "tests" / "acceptance" / "milestone7.yaml").write_text(
        "lines:\n  - {says: good, tests: ['tests/test_a.py::test_S1_good']}\n"
    )
    done = accept(checkout, "7")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "milestone 7: 1 of 1 lines pass")


@pytest.mark.parametrize("argv", [(), ("x",), ("8",), ("7", "8")])
def test_what_cannot_be_read_is_exit_code_2(checkout: Path, argv: tuple[str, ...]) -> None:
    assert accept(checkout, *argv).returncode == 2


def test_an_unknown_key_is_an_error(checkout: Path) -> None:
    (checkout / "tests" / "acceptance" / "milestone7.yaml").write_text("lines:\n  - {says: good, test: [a]}\n")
    assert accept(checkout, "7").returncode == 2
