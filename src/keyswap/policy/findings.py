"""Row 11 of the table: which values that look like credentials may stand in the head of a request (S2, S17, S21, S23).

The destination is U, which is A as long as nothing routes elsewhere.
"""

from keyswap.exchange import Finding, Refusal
from keyswap.policy import words
from keyswap.policy.match import Case
from keyswap.policy.model import Credential


def first_refused(case: Case) -> Refusal | None:
    """The first finding that must not leave: placeholders of ours first, then foreign values."""
    ours = [finding for finding in case.ask.findings if finding.kind != "other"]
    others = [finding for finding in case.ask.findings if finding.kind == "other"]
    checks = (*(_misuse(case, finding) for finding in ours), *(_foreign(case, finding) for finding in others))
    return next((refusal for refusal in checks if refusal is not None), None)


def releasable(case: Case, credential: Credential) -> bool:
    """Whether this credential may be released to where the case goes, by profile, binding and scheme."""
    return credential.name in case.profile.credentials and not _unbound(case, credential)


def _misuse(case: Case, finding: Finding) -> Refusal | None:
    """Why a placeholder of ours must not stand where it was found; None: it may."""
    if finding.kind == "unknown":
        return words.misuse(case, "it is not a placeholder of this session")
    name = finding.credential
    credential = case.policy.credentials.get(name) if name is not None else None
    if credential is None or credential.name not in case.profile.credentials:
        return words.misuse(case, f"its credential is not in profile {case.profile.name}")
    why = _misplaced(case, credential, finding.place) or _unbound(case, credential)
    return words.misuse(case, why, credential.rule) if why else None


def _misplaced(case: Case, credential: Credential, place: str) -> str:
    if case.observed is not None:
        return f"{case.observed.code} is only observed here, and such a request never carries a credential"
    if case.method == "OPTIONS":
        return "an OPTIONS request carries no placeholder"
    if place not in credential.places:
        return f"credential {credential.name} is swapped in {', '.join(credential.headers)} only"
    return ""


def _unbound(case: Case, credential: Credential) -> str:
    if not credential.bound_to(case.authority.host, case.authority.port):
        return f"credential {credential.name} is not bound to {case.authority}"
    if case.ask.scheme != "https" and not credential.plaintext:
        return f"credential {credential.name} is not released over plain http"
    return ""


def _foreign(case: Case, finding: Finding) -> Refusal | None:
    """Every credential that owns the place here says `foreign: allow`; where none is known, nobody allowed it."""
    host, port = case.authority.host, case.authority.port
    mine = (case.policy.credentials.get(name) for name in sorted(case.profile.credentials))
    owners = [one for one in mine if one is not None and finding.place in one.places and one.bound_to(host, port)]
    against = [owner for owner in owners if owner.foreign != "allow"]
    if owners and not against:
        return None
    return words.foreign(case, against[0].rule if against else None)
