#!/bin/sh
# Gate a shell command: it runs once, after a person approved exactly this command.
#
# Try it:  hitl init vault  &&  VERSION=1.4.2 sh examples/gated_deploy.sh vault
# Run it again: with the same key it is not deployed twice.
set -eu
vault=${1:-vault}
version=${VERSION:-1.4.2}

exec hitl run --vault "$vault" --type deploy \
    --description "Release $version to production" \
    --detail environment=production --text "version=$version" \
    --by release-agent --key "deploy-$version" --timeout 1h \
    -- sh -c "echo deploying $version && echo deployed $version"
