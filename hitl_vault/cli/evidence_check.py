"""Owns the check of an evidence bundle, by itself: standard library and ssh-keygen. Never writes.

It travels with each bundle as `check.py` and needs no installation:

    python3 check.py [FOLDER|evidence.json] [--checkpoints FILE] [--signers FILE]

Exit codes: 0 everything the bundle claims was proved; 1 something in it is wrong; 2 used wrongly,
or not a bundle; 3 nothing is wrong, but something could not be checked.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

FORMAT = "hitl-vault:evidence:1"
SCHEMA = "hitl-vault/statement/1"
NAMESPACE = "hitl-vault"
PAYLOAD_TYPE = "application/vnd.hitl-vault.statement+json"
FIELDS = ["format", "vault", "request", "redacted", "head", "state", "events", "statements", "keys"]
FIELDS += ["others"]
HIDDEN = "[redacted]"
ENDINGS = {
    "pending": set(),
    "approved": {"approved"},
    "rejected": {"rejected"},
    "expired": {"expired"},
    "cancelled": {"cancelled"},
    "executing": {"approved", "claimed"},
    "executed": {"approved", "claimed"},
    "failed": {"approved", "claimed"},
    "unknown": {"approved", "claimed", "lost"},
}
_HEX = re.compile(r"[0-9a-f]{64}")
_MAX_INTEGER = 2**53 - 1
_PLAIN_FROM, _PLAIN_TO = -6, 21  # powers of ten that ECMAScript writes without an exponent


class Wrong(Exception):
    """Something contradicts something else."""


class Report:
    """What was found. `unproved`: what no bundle can show; `unchecked`: what this one cannot."""

    def __init__(self) -> None:
        self.proved: list[str] = []
        self.unproved: list[str] = []
        self.unchecked: list[str] = []
        self.wrong: list[str] = []

    @property
    def code(self) -> int:
        """The exit code."""
        return 1 if self.wrong else 3 if self.unchecked else 0


def sha256(data: bytes) -> str:
    """Return the digest in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def canonical(value: Any) -> str:
    """Return a JSON value as RFC 8785 writes it. Raises Wrong for what it cannot hold."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, str):
        value.encode()
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, (int, float)):
        return _number(value)
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    keys = sorted(value, key=lambda key: key.encode("utf-16-be"))
    return "{" + ",".join(f"{canonical(key)}:{canonical(value[key])}" for key in keys) + "}"


def _number(value: float) -> str:
    """Write a number as ECMAScript does: the shortest digits that read back as the same."""
    if isinstance(value, int):
        if abs(value) > _MAX_INTEGER:
            raise Wrong("a number is larger than JSON readers agree on")
        return str(value)
    if not math.isfinite(value):
        raise Wrong("a number is not finite")
    if value == 0:
        return "0"
    sign = "-" if value < 0 else ""
    mantissa, _, exponent = repr(abs(value)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(exponent or 0) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    if len(digits) <= point <= _PLAIN_TO:
        return sign + digits + "0" * (point - len(digits))
    if 0 < point <= _PLAIN_TO:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if _PLAIN_FROM < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    tail = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{tail}e{'+' if point > 0 else '-'}{abs(point - 1)}"


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse an object that names a key twice."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Wrong("a key stands twice")
    return found


def read(text: Any) -> Any:
    """Read strict JSON."""
    return json.loads(text, object_pairs_hook=once)


class Bundle:
    """One bundle, read strictly: any byte that could be otherwise is an error."""

    def __init__(self, text: bytes) -> None:
        evidence = read(text)
        if not isinstance(evidence, dict) or evidence.get("format") != FORMAT:
            raise Wrong(f"this is not evidence in the format {FORMAT}")
        if list(evidence) != FIELDS:
            raise Wrong(f"it has other fields than {', '.join(FIELDS)}")
        if (json.dumps(evidence, ensure_ascii=True, indent=1) + "\n").encode() != text:
            raise Wrong("it is not written in the one form a bundle has: a byte was changed")
        self.vault: str = evidence["vault"]
        self.id: str = evidence["request"]
        self.redacted: list[str] = evidence["redacted"]
        self.head: dict[str, Any] = evidence["head"]
        self.state_text: str = evidence["state"]
        self.state: dict[str, Any] = read(self.state_text)
        self.events: list[dict[str, Any]] = evidence["events"]
        self.statements: list[dict[str, Any]] = evidence["statements"]
        self.keys: list[dict[str, str]] = evidence["keys"]
        self.others: list[str] = evidence["others"]
        self.hashes: dict[int, str] = {}
        self.bodies: dict[int, dict[str, Any]] = {}

    def walk(self) -> None:
        """Recompute the chain from the vault's beginning to the head."""
        own = {event["seq"]: event for event in self.events}
        if [event["seq"] for event in self.events] != sorted(own):
            raise Wrong("the events are not in order")
        others = iter(self.others)
        previous = sha256(f"hitl-vault:chain:1:{self.vault}".encode())
        self.hashes[0] = previous
        for seq in range(1, len(own) + len(self.others) + 1):
            event = own.pop(seq, None)
            digest = next(others, None) if event is None else self._digest(event)
            if digest is None or not _HEX.fullmatch(digest):
                raise Wrong(f"the digest of event {seq} is missing or is none")
            previous = sha256(f"{previous}\n{digest}".encode())
            self.hashes[seq] = previous
            if event is not None and event["hash"] != previous:
                raise Wrong(f"event {seq}, or one before it, is not the one that was recorded")
        if not self.events:
            raise Wrong("there are no events of the request")
        if own or self.head != {"seq": len(self.hashes) - 1, "hash": previous}:
            raise Wrong("the chain does not lead to the head that the bundle names")

    def _digest(self, event: dict[str, Any]) -> str:
        if set(event) == {"seq", "hash", "body_sha256"} and self.redacted:
            return str(event["body_sha256"])
        if set(event) != {"seq", "hash", "body"}:
            raise Wrong(f"event {event['seq']} has other fields than seq, hash and body")
        self.bodies[event["seq"]] = read(event["body"])
        return sha256(event["body"].encode())


def check(
    text: bytes, signers: Path | None = None, checkpoints: list[str] | None = None
) -> tuple[Report, Bundle | None]:
    """Check a bundle; never raises for anything it may hold."""
    report, found = Report(), None
    try:
        found = Bundle(text)
        found.walk()
        report.proved.append(
            f"the {len(found.events)} events of the request stand in a chain of "
            f"{len(found.hashes) - 1}, from the first event of vault {found.vault} to its head "
            f"{found.head['hash']}"
        )
        for judge in (_events, _state, _payload, _counted, _redaction):
            judge(found, report)
        _votes(found, signers, report)
        _anchors(found, checkpoints, report)
    except Wrong as problem:
        report.wrong.append(str(problem))
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError) as error:
        report.wrong.append(f"it cannot be read as evidence: {type(error).__name__}: {error}")
    return report, found


def _events(found: Bundle, report: Report) -> None:
    """Compare what the events say of themselves with their places."""
    last = ("", 0)
    for seq, body in sorted(found.bodies.items()):
        if body["seq"] != seq or body["request"] != found.id:
            raise Wrong(f"event {seq} belongs to another place or another request")
        if (_time(body["at"]), body["rev"]) < last:
            raise Wrong(f"event {seq} is earlier than the one before it")
        last = (_time(body["at"]), body["rev"])
    hidden = [event["seq"] for event in found.events if event["seq"] not in found.bodies]
    for seq in hidden:
        report.unchecked.append(f"event {seq} is given by its digest only, to hide values")
    revs = {body["rev"] for body in found.bodies.values()}
    if not hidden and revs != set(range(1, found.state["rev"] + 1)):
        raise Wrong("an event of the request is left out, or one is too many")
    if not hidden:
        report.proved.append("no step of the request is left out")


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith("Z") else text)


def _time(text: str) -> str:
    """Return a time that can be compared as a text."""
    return _at(text).strftime("%Y-%m-%dT%H:%M:%S.%f")


def _state(found: Bundle, report: Report) -> None:
    """Compare the request with the digest its newest event holds."""
    if found.state["id"] != found.id:
        raise Wrong("the request shown is another one")
    last = found.bodies.get(found.events[-1]["seq"]) if found.events else None
    if last is not None and sha256(found.state_text.encode()) == last["state_sha256"]:
        if last["rev"] != found.state["rev"]:
            raise Wrong("the request is of another revision than its newest event")
        report.proved.append("the request is, byte for byte, what its newest event covers")
    elif found.redacted:
        report.unchecked.append(
            "the request as shown: values in it are hidden, so its digest cannot be recomputed; "
            "trust in it only what an event shown here says too"
        )
    else:
        raise Wrong("the request was changed: it is not what its newest event covers")


def _payload(found: Bundle, report: Report) -> None:
    """Recompute the digest that the answers are bound to, from the details."""
    state, action = found.state, found.state["action"]
    pairs = [("asked for", action["details"], state["payload_sha256"])]
    if state.get("edited"):
        pairs.append(("changed to", state["edited"]["details"], state["edited"]["payload_sha256"]))
    for what, details, expected in pairs:
        payload = {name: action[name] for name in ("type", "requested_by", "agent", "run_id")}
        payload["details"] = details
        if sha256(canonical(payload).encode()) == expected:
            report.proved.append(f"the details {what} have the digest {expected}")
        elif found.redacted:
            report.unchecked.append(f"the digest {expected}: values of the details are hidden")
        else:
            raise Wrong(f"the details {what} do not have the digest {expected}")
    for body in found.bodies.values():
        if body["kind"] == "requested" and (
            body["data"]["payload_sha256"] != state["payload_sha256"] or body["rev"] != 1
        ):
            raise Wrong("the first event asks for another action")
        if body["kind"] == "edited":
            votes = [b for b in found.bodies.values() if b["kind"] == "voted"]
            if not any(
                vote["data"]["payload_sha256"] == body["data"]["payload_sha256"] for vote in votes
            ):
                raise Wrong("details were changed without an answer that says so")


def _counted(found: Bundle, report: Report) -> None:
    """See that everything the request says happened has its event."""
    state = found.state
    if len(found.bodies) < len(found.events):
        return  # said already
    kinds = [body["kind"] for body in found.bodies.values()]
    missing = ENDINGS[state["status"]] - set(kinds)
    if state["status"] in ("executed", "failed") and not {state["status"], "resolved"} & set(kinds):
        missing.add(state["status"])
    if state.get("edited") and "edited" not in kinds:
        missing.add("edited")
    if "requested" not in kinds:
        missing.add("requested")
    for vote in state.get("votes", ()):
        same = (
            (body["actor"], body["data"]["answer"], body["data"]["payload_sha256"], body["at"])
            for body in found.bodies.values()
            if body["kind"] == "voted"
        )
        if (vote["reviewer"], vote["answer"], vote["payload_sha256"], vote["at"]) not in same:
            missing.add(f"the answer of {vote['reviewer']}")
    if missing:
        raise Wrong(f"there is no event for: {', '.join(sorted(missing))}")
    report.proved.append(f"the request is {state['status']}, and the events lead there")


def _redaction(found: Bundle, report: Report) -> None:
    """A bundle may not claim to hide what it does not hide."""
    if not found.redacted:
        return
    if HIDDEN not in found.state_text:
        raise Wrong("it says that values are hidden, and none is")
    report.unchecked.append(f"what is hidden: {', '.join(found.redacted)}")


def pae(kind: str, payload: bytes) -> bytes:
    """Return what a DSSE signature covers."""
    return b"DSSEv1 %d %b %d %b" % (len(kind.encode()), kind.encode(), len(payload), payload)


def _votes(found: Bundle, signers: Path | None, report: Report) -> None:
    """Check each answer's signature, and that it is about this request."""
    rebuilt = []
    used: set[tuple[str, str]] = set()
    in_force = found.state["payload_sha256"]
    for seq, body in sorted(found.bodies.items()):
        if body["kind"] == "edited":
            in_force = body["data"]["payload_sha256"]
        if body["kind"] != "voted":
            continue
        data, who = body["data"], body["actor"]
        said = f"event {seq}: {who} answers {data['answer']}"
        if not data.get("proof"):
            report.unproved.append(f"{said}: {_unsigned(data)}")
            continue
        envelope = _envelope(data["proof"])
        if envelope is None:
            report.unchecked.append(f"{said}: its proof is of a kind that is not checked here")
            continue
        payload, signature = envelope
        statement = read(payload)
        rebuilt.append({"seq": seq, "statement": statement})
        _stated(found, body, statement, payload, in_force)
        _signed(found, (seq, who, said), payload, signature, signers, used, report)
    if rebuilt != found.statements:
        raise Wrong("the statements shown are not those that were signed")
    if used != {(key["reviewer"], key["key"]) for key in found.keys} or len(used) != len(
        found.keys
    ):
        raise Wrong("the bundle holds keys that signed nothing in it")


def _unsigned(data: dict[str, Any]) -> str:
    if data["assurance"] == "edited":
        return f"a file or a caller says so (over {data['channel']}); nothing shows who it was"
    return f"the engine knew who it was (over {data['channel']}) and says so; nothing else shows it"


def _envelope(proof: str) -> tuple[bytes, bytes] | None:
    try:
        form = read(proof)
    except ValueError:
        return None
    if not isinstance(form, dict) or form.get("payloadType") != PAYLOAD_TYPE:
        return None
    (signature,) = form["signatures"]
    return (
        base64.b64decode(form["payload"], validate=True),
        base64.b64decode(signature["sig"], validate=True),
    )


def _stated(
    found: Bundle, body: dict[str, Any], stated: Any, payload: bytes, in_force: str
) -> None:
    """Compare what was signed with what was recorded."""
    data, seq = body["data"], body["seq"]
    edits = data["answer"] == "edit"
    wanted = {
        "schema": SCHEMA,
        "vault": found.vault,
        "request": found.id,
        "answer": data["answer"],
        "reviewer": body["actor"],
        "reason": data["reason"],
        "payload_sha256": in_force if edits else data["payload_sha256"],
        "edited_sha256": data["payload_sha256"] if edits else "",
    }
    if canonical(stated).encode() != payload:
        raise Wrong(f"event {seq}: what was signed is not in its one form")
    for name, value in wanted.items():
        if stated.get(name) != value:
            raise Wrong(f"event {seq}: what was signed says another {name}")
    seen = stated.get("ledger_seq")
    if seen and (seen >= seq or found.hashes.get(seen) != stated.get("ledger_hash")):
        raise Wrong(f"event {seq}: the signer saw another chain than this one")


def _signed(
    found: Bundle,
    vote: tuple[int, str, str],
    payload: bytes,
    signature: bytes,
    signers: Path | None,
    used: set[tuple[str, str]],
    report: Report,
) -> None:
    seq, who, said = vote
    blob = _blob(signature)
    if blob is None:
        report.unchecked.append(f"{said}: signed with a secret (HMAC) that only the vault holds")
        return
    key = _key_of(blob)
    held = [k for k in found.keys if k["reviewer"] == who and k["key"] == key]
    used.update((k["reviewer"], k["key"]) for k in held)
    if signers is None and not held:
        report.unchecked.append(f"{said}: the bundle holds no key for it; give one with --signers")
        return
    program = shutil.which("ssh-keygen", path=os.environ.get("PATH") or os.defpath)
    if program is None:
        report.unchecked.append(f"{said}: ssh-keygen is not installed, so no signature was checked")
        return
    with tempfile.TemporaryDirectory() as folder:
        sig, lines, name = Path(folder, "sig"), signers, who
        encoded = base64.b64encode(blob).decode()
        rows = "\n".join(encoded[n : n + 70] for n in range(0, len(encoded), 70))
        sig.write_text(
            f"-----BEGIN SSH SIGNATURE-----\n{rows}\n-----END SSH SIGNATURE-----\n",
            encoding="ascii",
        )
        if lines is None:
            lines, name = Path(folder, "allowed"), "signer"
            lines.write_text(f'signer namespaces="{NAMESPACE}" {key}\n', encoding="ascii")
        asked = ["-Y", "verify", "-f", str(lines), "-I", name, "-n", NAMESPACE, "-s", str(sig)]
        if signers is not None:  # there, keys may be good for a while only
            at = _at(found.bodies[seq]["at"])
            asked += ["-O", f"verify-time={at.strftime('%Y%m%d%H%M%SZ')}"]
        done = subprocess.run(  # noqa: S603  a fixed program and our own words
            [program, *asked],
            input=pae(PAYLOAD_TYPE, payload),
            capture_output=True,
            check=False,
        )
    if done.returncode != 0:
        raise Wrong(f"{said}: the signature is not good")
    report.proved.append(f"{said}, and signed it with the key {_fingerprint(key)}")
    if signers is None:
        report.unproved.append(
            f"that {_fingerprint(key)} is a key of {who}: compare it with what {who} gave you"
        )


def _blob(signature: bytes) -> bytes | None:
    if signature.startswith(b"-----BEGIN SSH SIGNATURE-----"):
        lines = signature.decode("ascii").strip().splitlines()
        signature = base64.b64decode("".join(lines[1:-1]), validate=True)
    return signature if signature.startswith(b"SSHSIG") else None


def _key_of(blob: bytes) -> str:
    key = _part(blob, 10)
    return f"{_part(key, 0).decode('ascii')} {base64.b64encode(key).decode()}"


def _part(data: bytes, at: int) -> bytes:
    length = int.from_bytes(data[at : at + 4], "big")
    return data[at + 4 : at + 4 + length]


def _fingerprint(key: str) -> str:
    digest = hashlib.sha256(base64.b64decode(key.split()[1])).digest()
    return f"SHA256:{base64.b64encode(digest).decode().rstrip('=')}"


def _anchors(found: Bundle, checkpoints: list[str] | None, report: Report) -> None:
    """Compare the chain with heads that were noted elsewhere."""
    if checkpoints is None:
        report.unproved.append(
            "that this chain is the vault's own, and not one made up later as a whole: compare its "
            "head with a checkpoint kept elsewhere (--checkpoints FILE)"
        )
        return
    newest = 0
    for number, line in enumerate(checkpoints, start=1):
        if not line.strip():
            continue
        noted = read(line)
        if noted["vault"] == found.vault and noted["seq"] <= found.head["seq"]:
            if found.hashes[noted["seq"]] != noted["hash"]:
                raise Wrong(f"checkpoint {number}: at event {noted['seq']} the chain was another")
            newest = max(newest, noted["seq"])
    if newest == 0:
        report.unchecked.append("no checkpoint is about this chain")
    elif newest < found.events[-1]["seq"]:
        report.unchecked.append(
            f"the newest checkpoint is of event {newest}, before the end of the request"
        )
    else:
        report.proved.append(f"the chain agrees with checkpoints up to event {newest}")


def plain(text: str) -> str:
    """Return a text that cannot trick a terminal."""
    return "".join(c if c.isascii() and c.isprintable() else f"\\u{{{ord(c):x}}}" for c in text)


def main(arguments: list[str] | None = None) -> int:
    """Check the bundle named, or the one beside this file; return the exit code."""
    parser = argparse.ArgumentParser(description="Check a bundle of evidence about one request.")
    parser.add_argument("bundle", nargs="?", type=Path, default=Path(__file__).parent)
    parser.add_argument("--checkpoints", type=Path, help="heads of the chain, kept elsewhere")
    parser.add_argument("--signers", type=Path, help="your own allowed_signers file")
    asked = parser.parse_args(arguments)
    file = asked.bundle / "evidence.json" if asked.bundle.is_dir() else asked.bundle
    try:
        text = file.read_bytes()
        noted = asked.checkpoints.read_text("utf-8").splitlines() if asked.checkpoints else None
        if asked.signers is not None:
            asked.signers.read_bytes()
    except (OSError, UnicodeDecodeError) as error:
        print(f"cannot read {plain(str(error))}", file=sys.stderr)
        return 2
    report, found = check(text, asked.signers, noted)
    if found is not None:
        print(f"Request {plain(str(found.id))}: {plain(str(found.state.get('status')))}")
    for title, mark, lines in (
        ("Proved", "ok", report.proved),
        ("Not proved: nobody can, from this bundle alone", "--", report.unproved),
        ("Could not be checked", "??", report.unchecked),
        ("WRONG", "!!", report.wrong),
    ):
        if lines:
            print(f"\n{title}")
            print("\n".join(f"  {mark} {plain(line)}" for line in lines))
    said = {0: "It holds.", 1: "It does NOT hold.", 3: "Nothing is wrong; not all was checked."}
    print(f"\n{said[report.code]}")
    return report.code


if __name__ == "__main__":
    sys.exit(main())
