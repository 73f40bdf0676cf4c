"""Where real values come from: a family of sources, and the keyring that keeps the last good value of each.

| reference        | source                                                    |
|------------------|-----------------------------------------------------------|
| `env:NAME`       | a variable of this process, read once (env.py)            |
| `file:/ABSOLUTE` | a file, read again whenever it changes (file.py)          |
"""

import os
from collections.abc import Mapping

from keyswap.credentials.clean import clean
from keyswap.credentials.env import EnvSource
from keyswap.credentials.file import FileSource
from keyswap.credentials.interface import Source
from keyswap.errors import CredentialError

_TODO = "write env:NAME or file:/absolute/path"


def source_for(ref: str, *, environ: Mapping[str, str] | None = None) -> Source:
    """The source that `ref` names; raises CredentialError for a reference with no meaning.

    A variable is looked up now, in `environ` or else in this process's own; a file is not touched yet.
    """
    kind, _, rest = ref.partition(":")
    if kind == "env":
        return EnvSource(rest, os.environ if environ is None else environ)
    if kind == "file":
        return FileSource(rest)
    # The reference is not quoted: somebody may have written the key itself here.
    raise CredentialError("a source is neither env: nor file:", _TODO)


def read_token(ref: str, *, environ: Mapping[str, str] | None = None) -> str:
    """The text of a session token kept in a variable or file, cleaned as a credential is; raises CredentialError."""
    source = source_for(ref, environ=environ)
    secret, _ = clean(source.read())
    try:
        return secret.reveal().decode("ascii")
    except UnicodeDecodeError:
        pass
    raise CredentialError(f"the token in {source.name} is not ASCII", "make one with `openssl rand -hex 32`")
