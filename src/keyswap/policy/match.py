"""What the entries of a policy say about one CONNECT or request; the look-ups under the rows of `decide`."""

from functools import cached_property

from keyswap.exchange import Ask, Authority, CanonicalHost, Refusal, Stage
from keyswap.policy.model import Entry, Policy, Profile
from keyswap.policy.paths import PathError, Segments, segments, split_target

_NOWHERE = Authority(CanonicalHost(""), 0)
_NOTHING = Profile(name="", credentials=frozenset(), egress=())


class Case:
    """One question to one policy, with what more than one row looks up, found once.

    Where the question has no authority, session or profile, nothing matches: the rows that ask for those come first.
    """

    def __init__(self, policy: Policy, ask: Ask) -> None:
        self.policy = policy
        self.ask = ask
        self.authority = ask.authority or _NOWHERE
        self.method = ask.method.upper()
        self.observed: Refusal | None = None
        """What `mode: observe` has let pass so far; the first one."""
        self._paths: dict[bool, Segments | str] = {}

    @cached_property
    def profile(self) -> Profile:
        """What the session may use; empty where there is no session, or its profile is gone."""
        name = self.ask.session.profile if self.ask.session else ""
        return self.policy.profiles.get(name, _NOTHING)

    @cached_property
    def named(self) -> tuple[Entry, ...]:
        """The entries of the profile whose host matches, in the order of the file."""
        return self.profile.index.matching(self.authority.host)

    @cached_property
    def reached(self) -> tuple[Entry, ...]:
        """Those of `named` that list port and scheme as well."""
        port, scheme = self.authority.port, self.ask.scheme
        return tuple(entry for entry in self.named if port in entry.ports and scheme in entry.schemes)

    @cached_property
    def passthrough(self) -> Entry | None:
        """The entry that has this connection relayed unseen: the most specific of `reached`, if it says so.

        Of two equally specific ones the inspected one decides.
        """
        nearest = min(self.reached, key=_specificity, default=None)
        return nearest if nearest is not None and nearest.passthrough else None

    @cached_property
    def inspected(self) -> tuple[Entry, ...]:
        """Those of `reached` that a request inside is judged by."""
        return () if self.passthrough else tuple(entry for entry in self.reached if not entry.passthrough)

    @cached_property
    def match(self) -> Entry | None:
        """The first entry that allows this: at CONNECT by host, port and scheme, then by method and path too."""
        if self.ask.stage is Stage.CONNECT:
            return self.passthrough or next(iter(self.inspected), None)
        return next((entry for entry in self.inspected if self.allows_method(entry) and self.allows_path(entry)), None)

    def denies(self, entry: Entry) -> bool | None:
        """Whether a `deny` entry whose host matches applies; None: it would, but the path is ambiguous.

        At CONNECT nothing is known of methods and paths, so an entry that names some waits for the request.
        """
        if self.ask.stage is Stage.CONNECT and (entry.paths is not None or entry.methods is not None):
            return False
        if entry.ports and self.authority.port not in entry.ports:
            return False
        if entry.schemes and self.ask.scheme not in entry.schemes:
            return False
        return self.allows_method(entry) and self.allows_path(entry)

    def allows_method(self, entry: Entry) -> bool:
        """Whether the entry lists the method; HEAD follows GET (S14)."""
        if entry.methods is None:
            return True
        return self.method in entry.methods or (self.method == "HEAD" and "GET" in entry.methods)

    def allows_path(self, entry: Entry) -> bool | None:
        """Whether the entry lists the path; None: it lists some, and this one can be read in more than one way."""
        if entry.paths is None:
            return True
        path = self._path(entry.encoded_slash)
        return None if isinstance(path, str) else any(pattern.matches(path) for pattern in entry.paths)

    def ambiguity(self, entry: Entry) -> str:
        """Why the path cannot be judged by this entry; only where `allows_path` or `denies` gave None."""
        path = self._path(entry.encoded_slash)
        return path if isinstance(path, str) else ""

    def _path(self, encoded_slash: bool) -> Segments | str:
        if encoded_slash not in self._paths:
            try:
                self._paths[encoded_slash] = segments(split_target(self.ask.path), encoded_slash=encoded_slash)
            except PathError as error:
                self._paths[encoded_slash] = str(error)
        return self._paths[encoded_slash]


def _specificity(entry: Entry) -> tuple[bool, int, bool]:
    return (entry.host.wildcard, -len(entry.host.host), entry.passthrough)
