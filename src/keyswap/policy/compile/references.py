"""References to what is kept elsewhere: `env:NAME` and `file:PATH`.

A value that is no reference may be the secret itself, so that not one character of it is ever quoted.
"""

import re

from keyswap.policy.compile.page import Page
from keyswap.policy.problems import looks_like_a_key
from keyswap.policy.text.nodes import Loc

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LATER = frozenset(
    {"exec", "vault", "aws", "aws-sm", "aws-ssm", "gcp", "gcp-sm", "azure", "op", "onepassword", "keyring", "http"}
    | {"https"}
)


def reference(page: Page, loc: Loc, text: str) -> str | None:
    """`env:NAME` or `file:/absolute/path`; None where the text is neither, and then that has been told."""
    scheme, _, rest = text.partition(":")
    key = str(loc[-1])
    if looks_like_a_key(text):
        return None
    if scheme in _LATER:
        page.wrong(loc, f"sources of the kind `{scheme}:` are not in this version", "write env:NAME or file:PATH")
    elif scheme == "env":
        if _NAME.fullmatch(rest):
            return text
        page.wrong(loc, "not the name of a variable", f"write {key}: env:NAME")
    elif scheme == "file":
        if rest and "\0" not in rest and not rest.startswith("~"):
            return f"file:{page.path(rest)}"
        page.wrong(loc, "not the path of a file", f"write {key}: file:/run/secrets/NAME, without ~")
    else:
        page.wrong(loc, "not a reference; a secret itself must not stand in a policy", _WHERE.format(key))
    return None


_WHERE = "keep it in a file or variable, write {}: env:NAME or file:PATH here, and replace the secret if it was one"
