"""Shapes, one book and heads as real clients send them, for the tests of this room."""

import base64
from collections.abc import Mapping, Sequence

from keyswap.exchange import CredentialName, Fields, Grant, Head, PlaceholderShape, PlaceholderText
from keyswap.rewrite.placeholder import Book, derive, make_book
from keyswap.secret import Secret

KEY = b"k" * 32
SEED = b"one session"
ELSEWHERE = b"another session"
HEX = "0123456789abcdef"

ANTHROPIC = CredentialName("anthropic")
GITHUB = CredentialName("github")
GEMINI = CredentialName("gemini")
MISTRAL = CredentialName("mistral")
DEEPSEEK = CredentialName("deepseek")

SHAPES: Mapping[CredentialName, PlaceholderShape] = {
    ANTHROPIC: PlaceholderShape("sk-ant-api03-", 108, suffix="AA"),
    GITHUB: PlaceholderShape("ghp_", 40),
    GEMINI: PlaceholderShape("AIza", 39),
    MISTRAL: PlaceholderShape("", 32),
    DEEPSEEK: PlaceholderShape("sk-", 35, alphabet=HEX),
}
HEADERS: Mapping[CredentialName, Sequence[str]] = {
    ANTHROPIC: ("x-api-key", "authorization"),
    GITHUB: ("authorization",),
    GEMINI: ("x-goog-api-key", "authorization"),
    MISTRAL: ("authorization",),
    DEEPSEEK: ("authorization",),
}


def book(seed: bytes = SEED, known: Sequence[str] = (), **fixed: str) -> Book:
    """The book of the session with this seed; `fixed` names credentials with a fixed placeholder in Authorization."""
    more = {CredentialName(name): PlaceholderShape("", 0, value=PlaceholderText(text)) for name, text in fixed.items()}
    headers = {**HEADERS, **dict.fromkeys(more, ("authorization",))}
    return make_book(KEY, seed, {**SHAPES, **more}.items(), headers, known=known)


def held(credential: CredentialName, seed: bytes = SEED) -> bytes:
    """The placeholder that a session holds for this credential."""
    return derive(SHAPES[credential], key=KEY, seed=seed, credential=credential).encode()


def head(
    *fields: tuple[bytes, bytes],
    path: bytes = b"/v1/messages",
    method: bytes = b"POST",
    version: str = "HTTP/1.1",
    authority: bytes = b"",
) -> Head:
    return Head(version, method, "https", authority, path, ((b"Host", b"api.demo.example"), *fields))


def basic(user: bytes, password: bytes) -> bytes:
    return b"Basic " + base64.b64encode(user + b":" + password)


def grant(credential: CredentialName, place: str, value: bytes) -> Grant:
    return Grant(credential, 1, "fingerprint", place, Secret(value))


def value_of(fields: Fields, name: bytes) -> list[bytes]:
    """Every value of the headers called `name`, in any case."""
    return [value for each, value in fields if each.lower() == name]
