"""A client of /api/v1/approvals that chooses its own action ids: ask, wait, go on.

Try it:  hitl init vault && hitl serve --vault vault --open &
         python examples/http/approvals.py http://127.0.0.1:8020
It answers its own first question, as a person would with another program.
"""

import json
import sys
import time
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote, urlencode
from urllib.request import Request, urlopen

DEPLOY = {
    "action_id": "deploy-vercel-1234567890",
    "action_type": "deploy",
    "description": "Deploy trading bot to Vercel",
    "context": {"platform": "vercel", "config": {"projectName": "trading-bot"}},
    "run_id": "wf_abc123",
    "requested_by": "temporal-worker",
    "timeout_seconds": 3600,
}
BILLING = {
    "action_id": "billing-op77",
    "action_type": "create_billing",
    "description": "Create Stripe subscription",
    "context": {"operation": "create_subscription", "amount": 29.99},
    "run_id": "wf_abc123",
    "timeout_seconds": 7200,
}


class ApprovalClient:
    """Asks and waits, over HTTP."""

    def __init__(self, url: str) -> None:
        self.url = f"{url}/api/v1/approvals/"

    def call(self, method: str, path: str = "", body: dict[str, Any] | None = None) -> Any:
        """Send one request, print it with its answer, and return the answer."""
        sent = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = Request(self.url + path, data=sent, headers=headers, method=method)  # noqa: S310
        try:
            with urlopen(request) as response:  # noqa: S310
                status, text = response.status, response.read()
        except HTTPError as error:
            with error:
                status, text = error.code, error.read()
        print(f"{method} /api/v1/approvals/{path}\n  {text.decode()} [{status}]")
        return json.loads(text)

    def wait_for_approval(self, action_id: str, every_s: float = 5) -> Any:
        """Poll until it is decided; raise unless it was approved."""
        while (found := self.call("GET", quote(action_id)))["status"] == "PENDING":
            time.sleep(every_s)
        if found["status"] != "APPROVED":
            raise RuntimeError(f"{action_id} not approved: {found['status']}, {found['reason']}")
        return found


def main(url: str) -> None:
    client = ApprovalClient(url)
    asked = client.call("POST", body=DEPLOY)
    client.call("POST", body=DEPLOY)  # after a restart: the same approval
    client.call("POST", body=DEPLOY | {"description": "Deploy something else"})
    client.call("GET", "?" + urlencode({"run_id": "wf_abc123", "limit": 50}))
    decision = {
        "approved": True,
        "reason": "Deployment reviewed and approved",
        "decided_by": "admin@example.com",
    }
    client.call("POST", f"{asked['action_id']}/decide", decision)
    client.wait_for_approval(asked["action_id"])
    print("approved: deploying")

    client.call("POST", body=BILLING)
    client.call("POST", "billing-op77/cancel?" + urlencode({"reason": "Workflow cancelled"}))
    try:
        client.wait_for_approval("billing-op77")
    except RuntimeError as error:
        print(error)
    client.call("POST", "cleanup")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8020")
