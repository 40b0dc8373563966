#!/bin/sh
# A client of /api/v1/approvals/decision: see what waits for a user, then decide it.
#
# Try it:  hitl init vault && hitl serve --vault vault --open &
#          sh examples/http/decisions.sh http://127.0.0.1:8020
set -eu
url=${1:-http://127.0.0.1:8020}

call() { # METHOD PATH [JSON]: print what was called and answered, and keep the answer
    method=$1 path=$2
    if [ $# -eq 3 ]; then
        answer=$(curl -sS -w ' [%{http_code}]' -X "$method" "$url$path" \
            -H "Content-Type: application/json" -H "X-Request-ID: r-1" \
            -H "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01" -d "$3")
    else
        answer=$(curl -sS -w ' [%{http_code}]' -X "$method" "$url$path")
    fi
    printf '%s %s\n  %s\n' "$method" "$path" "$answer"
}

# A workflow asks; who it works for stands in the details.
curl -sS -o /dev/null "$url/api/v1/requests" -H "Content-Type: application/json" -d '{
    "type": "terminate",
    "description": "Terminate an idle server",
    "requested_by": "cleanup-agent",
    "details": {
        "workflow_id": "wf-7", "user_id": "u-1", "session_id": "s-1",
        "query": "Clean up the old servers", "proposed_action": "terminate i-abc123",
        "reason": "It was idle for 30 days"
    }
}'

call GET "/api/v1/approvals?user_id=u-1&session_id=s-1&limit=10&offset=0"
id=$(printf '%s' "$answer" | sed 's/.*"approval_id":"\([^"]*\)".*/\1/')

call POST /api/v1/approvals/decision '{"approval_id": "'"$id"'", "approved": true}'
call POST /api/v1/approvals/decision '{
    "workflow_id": "wf-8", "approval_id": "'"$id"'", "approved": true, "approved_by": "alice"
}'
call POST /api/v1/approvals/decision '{
    "workflow_id": "wf-7", "run_id": "run-1", "approval_id": "'"$id"'", "approved": true,
    "feedback": "It is really idle", "approved_by": "alice"
}'
call GET "/api/v1/approvals?user_id=u-1"
