#!/usr/bin/env bash
# Programs that no Python wheel carries. Only rsync so far (COPY_STRATEGY=tiered); installed where we may, else said plainly.
# Ends with 1 when something is missing: `make setup` goes on, and says so again the next time.
set -euo pipefail
command -v rsync >/dev/null && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  export DEBIAN_FRONTEND=noninteractive
  { apt-get -qq update && apt-get -qq install -y --no-install-recommends rsync; } >/dev/null 2>&1 && exit 0
fi
echo "rsync is missing: COPY_STRATEGY=tiered and its tests need it. Install the package 'rsync'; everything else works without." >&2
exit 1
