#!/bin/sh
# sync-image SERVICE [OPTION…]: install what one image needs, exactly as uv.lock says, hashes checked.
set -eu
service=$1
shift
case $service in
  research) set -- --package tollgate-console --package tollgate-research "$@" ;;
  *) set -- --package "tollgate-$service" "$@" ;;
esac
exec uv sync --frozen --no-dev --no-editable --all-extras "$@"
