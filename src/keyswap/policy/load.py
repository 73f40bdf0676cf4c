"""Loading a policy: file → text → nodes → types → the compiled policy; every problem at once, with its place."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from keyswap.policy.compile import Page, compile_policy
from keyswap.policy.model import Policy
from keyswap.policy.problems import PolicyErrors, Problem
from keyswap.policy.reading import Unreadable, read_trusted
from keyswap.policy.text.characters import MAX_BYTES, decode
from keyswap.policy.text.marks import Mark, Trouble
from keyswap.policy.text.nodes import read

GATEWAY = "KEYSWAP_GATEWAY_URL"


def load(path: str | Path, *, generation: int = 1, environ: Mapping[str, str] | None = None) -> Policy:
    """The policy in the file at `path`, which nobody but its owner may be able to change (S43).

    `environ` is the process's own where it is None. Raises PolicyErrors.
    """
    file = os.path.abspath(path)
    try:
        raw = read_trusted(file, MAX_BYTES)
    except Unreadable as error:
        todo = "run `keyswap init` to write one, or name one with --policy" if error.missing else error.todo
        raise PolicyErrors([Problem(file, 1, 1, f"the policy {error.what}", todo)], [file]) from None
    return parse(raw, file, generation=generation, environ=environ)


def parse(
    text: str | bytes, path: str | Path, *, generation: int = 1, environ: Mapping[str, str] | None = None
) -> Policy:
    """The policy that `text` means if it stands at `path`; files it names are read. Raises PolicyErrors."""
    file = os.path.abspath(path)
    raw = text.encode("utf-8") if isinstance(text, str) else text
    try:
        root, troubles = read(decode(raw))
    except Trouble as trouble:
        root, troubles = None, [trouble]
    if root is None:
        raise PolicyErrors(_told(file, troubles or [_empty()]), [file])
    page = Page(file, root)
    page.trouble(troubles)
    policy = compile_policy(page, sha256=hashlib.sha256(raw).hexdigest(), generation=generation)
    _refuse_gateway(page, os.environ if environ is None else environ)
    if page.problems:
        raise PolicyErrors(page.problems, policy.files)
    return policy


def _told(file: str, troubles: list[Trouble]) -> list[Problem]:
    return [Problem(file, *trouble.mark, trouble.what, trouble.todo) for trouble in troubles]


def _empty() -> Trouble:
    return Trouble(Mark(1, 1), "the policy is empty", "begin it with `version: 1`, or run `keyswap init`")


def _refuse_gateway(page: Page, environ: Mapping[str, str]) -> None:
    # Whoever sets it expects every request to go there; going to the providers instead would be a surprise.
    if environ.get(GATEWAY):
        page.wrong((), f"{GATEWAY} is set, and a gateway is not in this version", "unset it")
