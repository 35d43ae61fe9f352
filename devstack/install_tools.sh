#!/usr/bin/env bash
# Programs that no Python wheel carries: rsync (COPY_STRATEGY=tiered), Chromium with one set of fonts (the browser tests), ffmpeg (media
# tests make their files with it, and compare what we say of them with its ffprobe), and unzip (archives must open elsewhere).
# Installed where we may, else said plainly.
set -euo pipefail
missing=()
command -v rsync >/dev/null || missing+=(rsync)
command -v unzip >/dev/null || missing+=(unzip)
command -v chromium >/dev/null || missing+=(chromium fonts-liberation)
command -v ffmpeg >/dev/null && command -v ffprobe >/dev/null || missing+=(ffmpeg)
[ ${#missing[@]} = 0 ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  export DEBIAN_FRONTEND=noninteractive
  { apt-get -qq update && apt-get -qq install -y --no-install-recommends "${missing[@]}"; } >/dev/null && exit 0
fi
echo "Missing: ${missing[*]}. COPY_STRATEGY=tiered and its tests need rsync; the browser tests need chromium, the media tests ffmpeg, the archive tests unzip. Install these packages." >&2
