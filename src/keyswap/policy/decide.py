"""The precedence table. Asked in this order; the first refusal is the answer.

A is what the client addressed, U where the request is sent.

    #  question                                                        refusal             at       observe passes
    1  can it be read in one way only?                                 400 413 431         both     no
    2  is there a living session (token, else a standing source)?      407                 both     no
    3  is A one of our own?                                            403 own_address     both     no
    4  does a deny entry match A (at CONNECT: entries without paths)?  403 denied          both     no
    5  does an egress entry of the profile match host, port, scheme?   403 host_/port_     both     yes
    6  is it passthrough? then only SNI = A, 10, and one record for the connection
    7  CONNECT = SNI = Host = :authority = A?                          421                 request  no
    8  does ONE entry match host, port, scheme, method and path?       403 method_/path_   request  yes
    9  route → U                                                                           request  no
    10 is every address of U public, or in `private` of its entry?     403 address         dial     no
    11 every placeholder in the head: of this session, in its profile, bound to U, in a declared place; nothing foreign?
                                                                       403 misuse/foreign  request  no
    12 limits                                                          429 403             request  no
    13 has the source a value?                                         503 credential      request  no
    14 is the audit line written?                                      503 audit           request  no

Entries of `egress` are a union, `deny` is a union and beats it; nothing overrides 1-4, 7, 10-14. Absent `methods` or
`paths` mean any; HEAD follows GET. The rule cited is the first matching line; for a refusal, the nearest miss.

`decide` answers 1-8 and 11, which need no I/O; 9 is the identity, 10 is `addresses`, asked at dialling, and 12-14 are
asked by whoever holds the counter, the source and the file. What is not in the table but belongs to a row of it:

- 4: a path that can be read in two ways is refused (400) where a deny entry with paths matches all but the path.
- 6: a request is never judged by a passthrough entry. Where entries of both kinds match, the more specific host
  decides, and of two equal ones the inspected one. Inside a passthrough host a request is `host_not_listed`.
- 8: TRACE, TRACK and CONNECT are refused always; so is an ambiguous path where no entry matches without looking at it
  (400), and an upgrade. Observe lets none of these pass.
- 11: under observe, a request that enforce would have refused never carries a placeholder of ours.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from keyswap.exchange import Ask, Code, Decision, Refusal, Stage
from keyswap.policy import findings, words
from keyswap.policy.match import Case
from keyswap.policy.model import Entry, Policy

NEVER = frozenset({"TRACE", "TRACK", "CONNECT"})
"""Methods that no policy allows in a request: the first two echo the head (S14), the third is a tunnel in a tunnel."""

OBSERVED = frozenset({Code.HOST_NOT_LISTED, Code.PORT_NOT_LISTED, Code.METHOD_NOT_LISTED, Code.PATH_NOT_LISTED})
"""What `mode: observe` lets pass, in the rows that say so."""

BOTH = frozenset(Stage)
REQUEST = frozenset({Stage.REQUEST})


@dataclass(frozen=True, slots=True)
class Row:
    """One question of the table."""

    number: int
    question: str
    ask: Callable[[Case], Refusal | None] | None
    """None: it cannot be judged without I/O."""
    at: frozenset[Stage] = REQUEST
    observe: bool = False
    """Whether `mode: observe` passes its refusals, where their code is in `OBSERVED`."""
    elsewhere: str = ""
    """Where a row without `ask` is judged."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one row said."""

    row: Row
    refusal: Refusal | None
    observed: bool = False
    """`mode: observe` has made a remark of the refusal, and the next row is asked."""


def decide(policy: Policy, ask: Ask) -> Decision:
    """The verdict on one CONNECT or one request. Pure: the same values give the same verdict, and nothing is read."""
    case = Case(policy, ask)
    for answer in answers(case):
        if answer.refusal is not None and not answer.observed:
            return _refused(answer.refusal)
    return _allowed(case)


def answers(case: Case) -> Iterator[Answer]:
    """The rows that can be judged at this stage, in order, up to and with the first refusal that holds."""
    for row in ROWS:
        if row.ask is None or case.ask.stage not in row.at:
            continue
        refusal = row.ask(case)
        observed = refusal is not None and _observed(case, row, refusal)
        if observed:
            case.observed = case.observed or refusal
        yield Answer(row, refusal, observed)
        if refusal is not None and not observed:
            return


def entry_for(policy: Policy, ask: Ask) -> Entry | None:
    """The entry that a dial for this follows: its `pin`, `private` and `ca_file`. To be asked once `decide` allows it.

    None where none lists the destination, as observe may allow; then only public addresses are dialled.
    """
    case = Case(policy, ask)
    if case.match is None and policy.mode == "observe":
        return next(iter(case.inspected), None)
    return case.match


def _observed(case: Case, row: Row, refusal: Refusal) -> bool:
    return case.policy.mode == "observe" and row.observe and refusal.code in OBSERVED


def _refused(refusal: Refusal) -> Decision:
    return Decision(result="refuse", rule=refusal.rule, reason=refusal.reason, refusal=refusal)


def _allowed(case: Case) -> Decision:
    observed, entry = case.observed, case.match
    if observed is not None:
        return Decision(result="allow", rule=observed.rule, reason=observed.reason, would_refuse=observed.code)
    if entry is None:
        # Every row was silent and none matched: silence never lets a request through.
        return _refused(words.host_not_listed(case))
    reason = words.listed(case, entry)
    return Decision(result="passthrough" if entry.passthrough else "allow", rule=entry.rule, reason=reason)


def readable(case: Case) -> Refusal | None:
    """Row 1: what the reader of the head found; without an authority there is nothing to judge."""
    if case.ask.problem is not None:
        return case.ask.problem
    return words.no_authority() if case.ask.authority is None else None


def living_session(case: Case) -> Refusal | None:
    """Row 2: a session, and its profile still in the policy."""
    session = case.ask.session
    if session is None:
        return words.no_session()
    return None if session.profile in case.policy.profiles else words.profile_gone(case, session.profile)


def not_our_own(case: Case) -> Refusal | None:
    """Row 3: our own listeners, whatever the policy lists (S10)."""
    return words.own_address(case) if case.ask.own else None


def not_denied(case: Case) -> Refusal | None:
    """Row 4: a deny entry beats every egress entry; one that cannot tell is as good as one that does."""
    unsure: Refusal | None = None
    for entry in case.policy.deny_index.matching(case.authority.host):
        denied = case.denies(entry)
        if denied:
            return words.denied(case, entry)
        if denied is None and unsure is None:
            unsure = words.ambiguous_path(case, entry)
    return unsure


def reachable(case: Case) -> Refusal | None:
    """Row 5: host, port and scheme stand together in one entry of the profile (S3, S5, S6)."""
    if case.reached:
        return None
    return words.port_not_listed(case, case.named[0]) if case.named else words.host_not_listed(case)


def not_passthrough(case: Case) -> Refusal | None:
    """Row 6: what is relayed unseen has no requests for us to read."""
    if case.ask.stage is Stage.REQUEST and case.passthrough is not None:
        return words.passthrough_only(case, case.passthrough)
    return None


def one_authority(case: Case) -> Refusal | None:
    """Row 7: everything else that names the destination names A (S1)."""
    wrong = next((claim for claim in case.ask.claims if claim[1] != case.authority), None)
    return None if wrong is None else words.authority_mismatch(case, *wrong)


def lawful_method(case: Case) -> Refusal | None:
    """Row 8, before any entry is asked: methods that no policy allows."""
    return words.method_refused(case) if case.method in NEVER else None


def one_entry(case: Case) -> Refusal | None:
    """Row 8: one entry matches host, port, scheme, method and path; what two list in halves, none lists."""
    if case.match is not None or not case.inspected:
        return None
    by_method = [entry for entry in case.inspected if case.allows_method(entry)]
    if not by_method:
        return words.method_not_listed(case, case.inspected[0])
    unsure = next((entry for entry in by_method if case.allows_path(entry) is None), None)
    return words.ambiguous_path(case, unsure) if unsure else words.path_not_listed(case, by_method[0])


def no_upgrade(case: Case) -> Refusal | None:
    """Row 8: another protocol inside the request's connection would not be looked at (S8)."""
    return words.upgrade_refused(case) if case.ask.upgrade else None


def findings_allowed(case: Case) -> Refusal | None:
    """Row 11: `findings` says which value in the head may stand where."""
    return findings.first_refused(case)


ROWS: tuple[Row, ...] = (
    Row(1, "can it be read in one way only?", readable, at=BOTH),
    Row(2, "is there a living session?", living_session, at=BOTH),
    Row(3, "is it anything but one of our own listeners?", not_our_own, at=BOTH),
    Row(4, "does no deny entry match?", not_denied, at=BOTH),
    Row(5, "does an egress entry of the profile match host, port and scheme?", reachable, at=BOTH, observe=True),
    Row(6, "is it inspected, or only relayed?", not_passthrough, at=BOTH),
    Row(7, "do CONNECT, SNI and Host name the same authority?", one_authority),
    Row(8, "is the method one that may ever pass?", lawful_method),
    Row(8, "does ONE entry match host, port, scheme, method and path?", one_entry, observe=True),
    Row(8, "does it stay HTTP?", no_upgrade),
    Row(9, "where is it sent?", None, elsewhere="to where it is addressed"),
    Row(10, "is every address public, or opened by its entry?", None, elsewhere="asked when dialling"),
    Row(11, "is every placeholder bound to here, in its place, and nothing foreign?", findings_allowed),
    Row(12, "is it within the limits?", None, elsewhere="asked as it arrives"),
    Row(13, "has the source a value?", None, elsewhere="asked at the release"),
    Row(14, "is the audit line written?", None, elsewhere="asked at the release"),
)
"""The table. `decide` walks it, `explain` prints it."""
