"""S42: nothing that is pasted into a policy is quoted in an error."""

import pytest

from keyswap.policy.load import parse
from keyswap.policy.problems import PolicyErrors, looks_like_a_key

from .written import FILE, credential, good, told

REAL = "sk-ant-api03-Zq7Rr81mVbN2xKpLw94Ty"
BARE = "Zq7Rr81mVbN2xKpLw94TyUu3"

PLACES = [
    "{}: x\n",
    "{}\n",
    "mode: {}\n",
    "mode: [{}]\n",
    "mode: {{a: {}}}\n",
    "mode: '{}\n",
    "mode: {}: {}\n",
    "mode: *{}\n",
    "mode: &{} x\n",
    "mode: !{} x\n",
    "mode: !!{} x\n",
    "mode: !{}!{} x\n",
    "%{}\n",
    'mode: "\\{}"\n',
    "version: {}\n",
    "credentials: {}\n",
    "credentials: {{{}: {{}}}}\n",
    "credentials: {{{}: {{preset: openai, source: env:A}}}}\n",
    "credentials: {{'{} x': {{preset: openai, source: env:A}}}}\n",
    "credentials: {{a: {}}}\n",
    "credentials: {{a: {{source: {}}}}}\n",
    "credentials: {{a: {{source: '{} {}'}}}}\n",
    "credentials: {{a: {{source: 'env:{} x'}}}}\n",
    "credentials: {{a: {{source: '{}:x'}}}}\n",
    "credentials: {{a: {{source: [{}]}}}}\n",
    "credentials: {{a: {{preset: {}, source: env:A}}}}\n",
    "credentials: {{a: {{preset: openai, source: env:A, {}: x}}}}\n",
    "credentials: {{a: {{preset: openai, source: env:A, optional: {}}}}}\n",
    "credentials: {{a: {{preset: openai, source: env:A, headers: ['{} x']}}}}\n",
    "credentials: {{a: {{preset: openai, source: env:A, headers: ['x-{}', 'x-{}']}}}}\n",
    "credentials: {{a: {{preset: openai, source: env:A, env: ['{}-x']}}}}\n",
    "credentials: {{a: {{preset: openai, source: env:A, placeholder: {}}}}}\n",
    "credentials: {{a: {{preset: openai, source: env:A, placeholder: {{prefix: {}, length: 5}}}}}}\n",
    "credentials: {{a: {{preset: openai, source: env:A, placeholder: {{value: {}, length: 5}}}}}}\n",
    "credentials: {{a: {{preset: openai, source: env:A, placeholder: {{value: '{} x'}}}}}}\n",
    "credentials: {{a: {{preset: openai, source: env:A, hosts: [{}]}}}}\n",
    "credentials: {{a: {{preset: openai, source: env:A, hosts: ['{}:443']}}}}\n",
    "credentials: {{a: {{preset: openai, source: env:A, hosts: ['a.example.com:{}']}}}}\n",
    "credentials: {{a: {{preset: openai, source: env:A, hosts: [{}.example.com]}}}}\n",
    "egress: [{{host: '{} x'}}]\n",
    "egress: [{{host: 'https://{}@a.example.com'}}]\n",
    "egress: [{{host: 'https://me:{}@a.example.com/'}}]\n",
    "egress: [{{host: a.example.com, ports: [{}]}}]\n",
    "egress: [{{host: a.example.com, methods: ['{} x']}}]\n",
    "egress: [{{host: a.example.com, schemes: [{}]}}]\n",
    "egress: [{{host: a.example.com, paths: ['{}']}}]\n",
    "egress: [{{host: a.example.com, paths: ['/{}//x']}}]\n",
    "egress: [{{host: a.example.com, private: ['{}']}}]\n",
    "egress: [{{host: a.example.com, pin: '{}'}}]\n",
    "egress: [{{host: a.example.com, ca_file: '{}'}}]\n",
    "profiles: {{default: {{credentials: [{}]}}}}\n",
    "profiles: {{default: {{egress: ['{}']}}}}\n",
    "profiles: {{default: {{egress: {}}}}}\n",
    "profiles: {{'{} x': {{}}}}\n",
    "sessions: {{a: {{token: {}}}}}\n",
    "sessions: {{a: {{token: '{}:x'}}}}\n",
    "sessions: {{a: {{source: ['{}']}}}}\n",
    "sessions: {{a: {{source: [10.0.0.1], profile: '{}'}}}}\n",
    "sessions: {{{}: {{source: [10.0.0.1]}}, b: {{source: [10.0.0.1]}}, c: {{}}}}\n",
    "limits: {{idle: {}}}\n",
    "limits: {{head: {}}}\n",
    "audit: {{rotate: {}, durability: {}, {}: x}}\n",
]


@pytest.mark.parametrize("secret", [REAL, BARE, "ghp_" + BARE, "AKIAIOSFODNN7EXAMPLE"])
@pytest.mark.parametrize("place", PLACES)
def test_S42_a_secret_pasted_anywhere_is_not_in_the_error(place, secret):
    text = told(place.replace("{}", secret).replace("{{", "{").replace("}}", "}")).lower()
    assert secret.lower() not in text
    assert secret.lower()[-12:] not in text


@pytest.mark.parametrize("place", ["egress: [{host: a.example.com, paths: [/bot/%s/**]}]\n", "audit: {path: %s}\n"])
def test_S42_a_real_key_is_an_error_even_where_any_text_is_allowed(place):
    assert "a real key seems to stand here" in told(place % REAL)


def test_S42_a_foreign_exception_does_not_hang_on_the_error():
    for body in ("deny: 'x\n", "mode: x\n", "x: *y\n"):
        with pytest.raises(PolicyErrors) as caught:
            parse("version: 1\n" + body, FILE, environ={})
        assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize(
    "text",
    [
        REAL,
        "x=" + REAL,
        "-----BEGIN PRIVATE KEY-----",
        "https://me:pw@example.com",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0",
    ],
)
def test_real_keys_are_recognised(text):
    assert looks_like_a_key(text)


@pytest.mark.parametrize(
    "text",
    [
        "api.example.com",
        "/run/secrets/sk-openai-production",
        "file:hf_token_for_production",
        "OPENAI_API_KEY",
        "sk-",
        "ghp_",
    ],
)
def test_names_are_not_taken_for_keys(text):
    assert not looks_like_a_key(text)


def test_a_fixed_placeholder_may_look_like_a_real_key():
    assert good(credential("placeholder: {value: " + REAL + "}")).credentials["key"].shape.value == REAL
