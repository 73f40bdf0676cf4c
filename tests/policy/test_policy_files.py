"""The policies that come with keyswap load, and mean what their comments say."""

import shutil
import subprocess
from pathlib import Path

import pytest

from keyswap.policy.load import load
from keyswap.policy.problems import PolicyErrors

POLICY = Path(__file__).parents[2] / "policy"
EXAMPLES = sorted((POLICY / "examples").glob("*.yaml"))
WARNED = {"observe"}


@pytest.fixture
def shipped(tmp_path):
    """A copy in which the CA has been made."""
    shutil.copytree(POLICY, tmp_path / "policy")
    (tmp_path / "certs").mkdir()
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
         "-subj", "/CN=test", "-keyout", "/dev/null", "-out", tmp_path / "certs" / "ca.pem"],
        check=True, capture_output=True, timeout=30,
    )  # fmt: skip
    return tmp_path / "policy"


def test_the_default_policy_reaches_nothing():
    policy = load(POLICY / "default.yaml", environ={})
    assert (policy.egress, dict(policy.credentials), dict(policy.sessions), policy.mode) == ((), {}, {}, "enforce")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_each_example_loads(path):
    policy = load(path, environ={})
    assert policy.egress
    assert bool(policy.warnings) == (path.stem in WARNED)


def test_there_is_an_example_for_each_situation():
    assert {path.stem for path in EXAMPLES} >= {
        "anthropic", "openai-codex", "github-readonly", "git-https", "ci", "internal-host", "observe", "profiles",
        "wildcard",
    }  # fmt: skip


@pytest.mark.parametrize("path", [*POLICY.glob("*.yaml"), *EXAMPLES], ids=lambda path: path.stem)
def test_each_file_tells_editors_its_schema(path):
    first = path.read_text().splitlines()[0]
    schema = first.removeprefix("# yaml-language-server: $schema=")
    assert (path.parent / schema).resolve() == POLICY / "schema.json"


def test_the_demo_is_one_loopback_session_with_a_fixed_placeholder(shipped):
    policy = load(shipped / "demo.yaml", environ={})
    demo, (entry,) = policy.credentials["demo"], policy.egress
    assert demo.shape.value == "demo-placeholder-not-a-key"
    assert demo.headers == ("x-api-key", "authorization")
    assert demo.source == f"file:{shipped / 'demo.key'}"
    assert (str(entry.pin), entry.pin_port, entry.host.text) == ("127.0.0.1", 8444, "api.demo.example")
    assert entry.ca_file == str(shipped.parent / "certs" / "ca.pem")
    assert [str(network) for network in policy.sessions["demo"].source] == ["127.0.0.0/8", "::1/128"]
    assert len(policy.warnings) == 1


def test_the_demo_without_a_ca_names_the_command_that_makes_it(shipped):
    (shipped.parent / "certs" / "ca.pem").unlink()
    with pytest.raises(PolicyErrors, match="is made by `keyswap ca init`"):
        load(shipped / "demo.yaml", environ={})


def test_the_demo_key_is_plainly_no_real_one():
    assert (POLICY / "demo.key").read_text() == "demo-real-key-kept-outside-the-sandbox\n"
