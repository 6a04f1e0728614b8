#!/bin/sh
# packages.sh COMMAND SERVICE [OPTION…]: run `uv sync` or `uv export` on what one image needs, exactly as uv.lock says.
set -eu
command=$1 service=$2
shift 2
case $service in
  # In an image the command finds broker and database elsewhere.
  console) set -- --package tollgate-console --no-extra local "$@" ;;
  research) set -- --package tollgate-console --package tollgate-research --no-extra local "$@" ;;
  *) set -- --package "tollgate-$service" "$@" ;;
esac
exec "${UV:-uv}" "$command" --frozen --no-dev --no-editable --all-extras "$@"
