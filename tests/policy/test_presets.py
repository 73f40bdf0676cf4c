import pytest

from keyswap.exchange import BASE62
from keyswap.policy.compile.shapes import CHECK_BITS, RANDOM_BITS, needed, room
from keyswap.policy.hosts import HostPattern
from keyswap.policy.presets import HEX, PRESETS
from keyswap.policy.schema import json_schema

from .written import good

EACH = pytest.mark.parametrize("name", sorted(PRESETS))


def load(name, extra=""):
    hosts = "\n".join(f"  - {{host: {host}}}" for host in PRESETS[name].hosts)
    return good(f"credentials:\n  key: {{preset: {name}, source: env:KEY{extra}}}\negress:\n{hosts}\n")


def test_the_schema_lists_exactly_the_presets():
    assert set(json_schema()["$defs"]["Credential"]["properties"]["preset"]["enum"]) == set(PRESETS)


@EACH
def test_every_preset_loads_and_gives_what_it_says(name):
    preset, credential = PRESETS[name], load(name).credentials["key"]
    assert credential.hosts == tuple((HostPattern.parse(host), 443) for host in preset.hosts)
    assert (credential.headers, credential.env, credential.shape) == (preset.headers, preset.env, preset.shape)
    assert (credential.preset, credential.dialect) == (name, preset.dialect)


@EACH
def test_S18_every_preset_has_room_for_128_random_bits_and_the_check(name):
    shape = PRESETS[name].shape
    assert room(shape) >= needed(RANDOM_BITS, shape.alphabet) + needed(CHECK_BITS, shape.alphabet)


@EACH
def test_every_preset_says_how_its_client_is_told(name):
    preset = PRESETS[name]
    assert preset.env
    assert preset.client.endswith(".")
    assert all(header == header.lower() for header in preset.headers)


def test_anthropic_is_bound_to_both_headers_its_clients_use():
    assert PRESETS["anthropic"].headers == ("x-api-key", "authorization")


@pytest.mark.parametrize(
    ("name", "length"),
    [("anthropic", 108), ("gemini", 39), ("github", 40), ("groq", 56), ("huggingface", 37), ("openrouter", 73)],
)
def test_lengths_are_those_of_real_keys(name, length):
    assert PRESETS[name].shape.length == length


def test_needed_characters_follow_the_alphabet():
    assert [needed(bits, BASE62) for bits in (0, 1, 40, 128)] == [0, 1, 7, 22]
    assert [needed(bits, HEX) for bits in (4, 40, 128)] == [1, 10, 32]


@pytest.mark.parametrize(
    ("extra", "attribute", "value"),
    [
        (", env: [OTHER]", "env", ("OTHER",)),
        (", env: []", "env", ()),
        (", headers: [X-Other]", "headers", ("x-other",)),
        (", optional: true", "optional", True),
        (", foreign: allow", "foreign", "allow"),
        (", hosts: [api.openai.com]", "hosts", ((HostPattern.parse("api.openai.com"), 443),)),
    ],
)
def test_a_credential_may_say_otherwise_than_its_preset(extra, attribute, value):
    assert getattr(load("openai", extra).credentials["key"], attribute) == value


def test_a_placeholder_replaces_the_shape_of_the_preset_as_a_whole():
    shape = load("stripe", ", placeholder: {prefix: sk_test_, length: 60}").credentials["key"].shape
    assert (shape.prefix, shape.length) == ("sk_test_", 60)


def test_S17_a_preset_is_bound_only_to_those_of_its_hosts_that_egress_reaches():
    policy = good("credentials:\n  key: {preset: github, source: env:KEY}\negress:\n  - {host: api.github.com}\n")
    assert [pattern.text for pattern, _ in policy.credentials["key"].hosts] == ["api.github.com"]
