#!/bin/sh
# A client of /workflows: ask, poll, approve; then a second workflow that is rejected.
#
# Try it:  hitl init vault && hitl serve --vault vault --open &
#          sh examples/http/workflows.sh http://127.0.0.1:8020
set -eu
url=${1:-http://127.0.0.1:8020}

call() { # METHOD PATH [JSON]: print what was called and answered, and keep the answer
    method=$1 path=$2
    if [ $# -eq 3 ]; then
        answer=$(curl -sS -w ' [%{http_code}]' -X "$method" "$url$path" \
            -H "Content-Type: application/json" -d "$3")
    else
        answer=$(curl -sS -w ' [%{http_code}]' -X "$method" "$url$path")
    fi
    printf '%s %s\n  %s\n' "$method" "$path" "$answer"
}

field() { printf '%s' "$answer" | sed "s/.*\"$1\":\"\([^\"]*\)\".*/\1/"; }

ask() {
    call POST /workflows '{
        "action": "terminate EC2 instance i-abc123",
        "requested_by": "infra-agent",
        "context": {"instance_id": "i-abc123", "region": "us-east-1"},
        "timeout_minutes": 30
    }'
    id=$(field workflow_id)
}

ask
call GET "/workflows/$id"
call POST "/workflows/$id/approve" '{"reviewed_by": "alice"}'
while [ "$(field status)" = PENDING ]; do # an agent polls until somebody has answered
    sleep 3
    call GET "/workflows/$id"
done
call POST "/workflows/$id/approve" '{"reviewed_by": "alice"}'

ask
call POST "/workflows/$id/reject" '{"reviewed_by": "alice"}'
call POST "/workflows/$id/approve" '{"reviewed_by": "bob"}'
call GET /workflows/550e8400-e29b-41d4-a716-446655440000
