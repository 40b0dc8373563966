"""A client of /api/v1/approvals that signs: an agent asks, a person signs, an executor checks.

Try it:  export HMAC_SECRET=$(openssl rand -hex 32)
         hitl init vault && hitl key add user@company.com --env HMAC_SECRET --vault vault
         hitl serve --vault vault --open &
         python examples/http/signatures.py http://127.0.0.1:8020
"""

import hashlib
import hmac
import json
import os
import sys
from datetime import datetime
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

APPROVER = "user@company.com"


def call(url: str, path: str, body: dict[str, Any]) -> Any:
    """Send one request, print it with its answer, and return the answer."""
    headers = {"Content-Type": "application/json"}
    request = Request(url + path, data=json.dumps(body).encode(), headers=headers)  # noqa: S310
    try:
        with urlopen(request) as response:  # noqa: S310
            status, text = response.status, response.read()
    except HTTPError as error:
        with error:
            status, text = error.code, error.read()
    print(f"POST {path}\n  {text.decode()} [{status}]")
    return json.loads(text)


def sign(approval: dict[str, Any], decision: str, secret: str) -> str:
    """Return HMAC-SHA256 over `id:decision:approver:expires_at`."""
    expires_at = datetime.fromisoformat(approval["expires_at"]).isoformat()
    message = f"{approval['id']}:{decision}:{APPROVER}:{expires_at}"
    return hmac.new(secret.encode(), message.encode(), hashlib.sha256).hexdigest()


def main(url: str) -> None:
    approval = call(
        url,
        "/api/v1/approvals",
        {
            "agent": "knowledge_update",
            "action": "apply",
            "context": {
                "file": "config/production.yaml",
                "changes_count": 1500,
                "risk_score": 85,
            },
            "reason": "Large configuration change for production deployment",
        },
    )
    decide = f"/api/v1/approvals/{approval['id']}/approve"
    verify = f"/api/v1/approvals/{approval['id']}/verify"
    signature = sign(approval, "approved", os.environ["HMAC_SECRET"])
    decision = {
        "decision": "approved",
        "approver": APPROVER,
        "comment": "Reviewed changes - looks safe",
        "signature": signature,
    }
    call(url, decide, decision | {"signature": sign(approval, "approved", "not the secret")})
    call(url, decide, decision)
    call(url, decide, decision)  # it is decided once

    call(url, verify, {"signature": "0" * 64})
    call(url, verify, {"signature": signature, "action": "quarantine"})
    if call(url, verify, {"signature": signature})["valid"]:
        print("valid: applying")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8020")
