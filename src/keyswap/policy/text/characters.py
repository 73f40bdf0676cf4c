"""The characters of a policy file: what a person cannot see must not change what the policy means.

YAML 1.1 ends a line at NEL, LINE SEPARATOR and PARAGRAPH SEPARATOR, which editors show as nothing; direction marks
show text in another order than it is read; a byte order mark, a tab or a no-break space looks like a space.
"""

import re
import unicodedata

from keyswap.policy.text.marks import Mark, Trouble

# A policy that reaches thousands of hosts stays far below; PyYAML takes seconds for a megabyte.
MAX_BYTES = 1024 * 1024
_UNUSUAL = re.compile(r"[^\n\x20-\x7e]")
# Control, format, surrogate, private, unassigned, and separators; the plain space is not unusual.
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"})


def decode(raw: bytes) -> str:
    """The text of a policy file, with `\\n` at line ends. Raises Trouble for what is not plain UTF-8 text."""
    if len(raw) > MAX_BYTES:
        raise Trouble(Mark(1, 1), "the file is larger than 1 MiB", "split what it reaches into fewer, wider entries")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        column = error.start - (raw.rfind(b"\n", 0, error.start) + 1) + 1
        raise Trouble(Mark(line, column), "a byte here is not UTF-8", "save the file as UTF-8") from None
    return text.replace("\r\n", "\n")


def unseen(text: str) -> list[Trouble]:
    """Every character that cannot be seen, or is seen as another; the first of a line stands for its line."""
    found: dict[int, Trouble] = {}
    for match in _UNUSUAL.finditer(text):
        char = match.group()
        if unicodedata.category(char) not in _INVISIBLE:
            continue
        line = text.count("\n", 0, match.start()) + 1
        mark = Mark(line, match.start() - (text.rfind("\n", 0, match.start()) + 1) + 1)
        found.setdefault(line, _trouble(mark, char))
        if len(found) == 20:
            break
    return list(found.values())


def _trouble(mark: Mark, char: str) -> Trouble:
    if char == "\t":
        return Trouble(mark, "a tab", "write spaces")
    if char == "\ufeff":
        return Trouble(mark, "a byte order mark", "save the file as UTF-8 without BOM")
    return Trouble(mark, f"a character that cannot be seen (U+{ord(char):04X})", "remove it, or write a plain space")
