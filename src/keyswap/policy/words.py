"""What a refusal says: one clause why, one clause what to do, and the line of the policy that came nearest.

Only canonical hosts, ports, known methods and words of the policy are quoted. Never a path, a header or an unknown
method: a placeholder may stand in it, and what we answer holds none.
"""

from pathlib import PurePath

from keyswap.exchange import Authority, Code, Refusal, Rule, Scheme
from keyswap.policy.match import Case
from keyswap.policy.model import Entry

_DEFAULT_PORT: dict[Scheme, int] = {"https": 443, "http": 80}
_KNOWN_METHODS = frozenset(
    {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "TRACK", "CONNECT"}
)  # fmt: skip


def listed(case: Case, entry: Entry) -> str:
    """Why something was allowed."""
    how = " (passthrough)" if entry.passthrough else ""
    return f"{case.authority.host} is in egress{how}"


def no_authority() -> Refusal:
    """Row 1, where nobody said what it was."""
    return Refusal(Code.AMBIGUOUS, "it names no destination that can be read", "write a host name and a port")


def no_session() -> Refusal:
    """Row 2."""
    todo = "use the proxy URL of a session, http://keyswap:TOKEN@host:port"
    return Refusal(Code.SESSION_REQUIRED, "no living session came with it", todo)


def profile_gone(case: Case, profile: str) -> Refusal:
    """Row 2, after a reload."""
    reason = f"profile {profile} of this session is no longer in {_file(case)}"
    return Refusal(Code.SESSION_REQUIRED, reason, f"mint a session with a profile of {_file(case)}")


def own_address(case: Case) -> Refusal:
    """Row 3."""
    return Refusal(
        Code.OWN_ADDRESS, f"{case.authority} is keyswap itself", "address the host you want, through the proxy"
    )


def denied(case: Case, entry: Entry) -> Refusal:
    """Row 4."""
    reason = f"{case.authority.host} is denied"
    return Refusal(Code.DENIED, reason, f"nothing in egress opens it; {_ask_about(entry)}", entry.rule)


def ambiguous_path(case: Case, entry: Entry) -> Refusal:
    """Rows 4 and 8."""
    reason = f"the path can be read in more than one way: {case.ambiguity(entry)}"
    return Refusal(Code.AMBIGUOUS, reason, "send the path in its plain form", entry.rule)


def host_not_listed(case: Case) -> Refusal:
    """Row 5: no entry of the profile has the host."""
    host, file = case.authority.host, _file(case)
    elsewhere = case.policy.egress_index.matching(host)
    if elsewhere and case.profile.name:
        where = f"egress of profile {case.profile.name}"
        return Refusal(
            Code.HOST_NOT_LISTED,
            f"{host} is not in {where}",
            f"add {_quoted(elsewhere[0].host.text)} to {where} in {file}",
            elsewhere[0].rule,
        )
    reason, rule = f"{host} is not in egress", Rule(file, case.policy.egress_line, "egress")
    for entry in case.policy.egress_index.below(host)[:1]:
        reason, rule = f"{reason}; {entry.host.text} does not include it", entry.rule
    return Refusal(Code.HOST_NOT_LISTED, reason, f"add {_line(case)} to egress in {file}", rule)


def port_not_listed(case: Case, entry: Entry) -> Refusal:
    """Row 5: the host is there, for another port or scheme."""
    reason = f"{case.authority.host} is in egress, but not for {case.ask.scheme} on port {case.authority.port}"
    return Refusal(Code.PORT_NOT_LISTED, reason, f"add {_line(case)} to egress in {_file(case)}", entry.rule)


def passthrough_only(case: Case, entry: Entry) -> Refusal:
    """Row 6."""
    reason = f"{case.authority.host} is passthrough only, so no request to it is read here"
    todo = f"reach it through CONNECT, or take tls: passthrough from {entry.rule.where}"
    return Refusal(Code.HOST_NOT_LISTED, reason, todo, entry.rule)


def authority_mismatch(case: Case, claim: str, named: Authority | None) -> Refusal:
    """Row 7."""
    what = f"the {claim} is missing or unreadable" if named is None else f"the {claim} names {named}"
    reason = f"{what}, and the request is addressed to {case.authority}"
    return Refusal(
        Code.AUTHORITY_MISMATCH, reason, "name one host in CONNECT, SNI and Host, on a connection of its own"
    )


def method_refused(case: Case) -> Refusal:
    """Row 8: no policy can allow it."""
    return Refusal(Code.METHOD_NOT_LISTED, f"{case.method} is never let through", "use another method")


def method_not_listed(case: Case, entry: Entry) -> Refusal:
    """Row 8: no entry has the method."""
    method = _method(case)
    reason = f"{method} is not listed for {case.authority.host}"
    return Refusal(Code.METHOD_NOT_LISTED, reason, f"add {method} to methods in {entry.rule.where}", entry.rule)


def path_not_listed(case: Case, entry: Entry) -> Refusal:
    """Row 8: no entry that has the method has the path."""
    reason = f"this path is not listed for {_method(case)} on {case.authority.host}"
    return Refusal(Code.PATH_NOT_LISTED, reason, f"add the path to paths in {entry.rule.where}", entry.rule)


def upgrade_refused(case: Case) -> Refusal:
    """Row 8."""
    reason = f"{case.authority.host} may not be sent a request to change the protocol"
    return Refusal(Code.UPGRADE_REFUSED, reason, "speak plain HTTP; websockets are not carried yet")


def misuse(case: Case, why: str, rule: Rule | None = None) -> Refusal:
    """Row 11: a placeholder of ours where it must not be."""
    reason = f"a placeholder must not be sent to {case.authority.host} like this: {why}"
    return Refusal(
        Code.PLACEHOLDER_MISUSE, reason, "send each placeholder in its own header to its own hosts only", rule
    )


def foreign(case: Case, rule: Rule | None) -> Refusal:
    """Row 11: somebody else's key."""
    reason = f"a credential header for {case.authority.host} holds a value that is not a placeholder of this session"
    return Refusal(
        Code.FOREIGN_CREDENTIAL, reason, "send the placeholder, or set foreign: allow on its credential", rule
    )


def _line(case: Case) -> str:
    """The entry that would list what was asked, as one line of YAML flow style."""
    scheme, port = case.ask.scheme, case.authority.port
    schemes = "" if scheme == "https" else f", schemes: [{scheme}]"
    ports = "" if port == _DEFAULT_PORT[scheme] else f", ports: [{port}]"
    return f"{{host: {_quoted(case.authority.host)}{schemes}{ports}}}"


def _quoted(host: str) -> str:
    return f'"{host}"' if host.startswith("*") or ":" in host else host


def _method(case: Case) -> str:
    return case.method if case.method in _KNOWN_METHODS else "this method"


def _file(case: Case) -> str:
    return PurePath(case.policy.file).name


def _ask_about(entry: Entry) -> str:
    return f"ask the keeper of {entry.rule.where}"
