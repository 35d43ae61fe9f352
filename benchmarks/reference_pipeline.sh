#!/bin/sh
# The reference pipeline, as the commands a person would type: copy to staging, pack, test, send, compare digests, tidy up.
# usage: reference_pipeline.sh FOLDER WORK SEVENZIP [empty]      WORK/remote/FOLDER.7z is what arrived; empty: the source goes, too.
set -eu
folder=$(realpath "$1") work=$(realpath "$2") sevenzip=$3
name=$(basename "$folder") archive=$work/$(basename "$folder").7z

mkdir -p "$work/temp" "$work/remote"
cp -a "$folder" "$work/temp/"
cd "$work/temp"
"$sevenzip" a -t7z -mx1 -mmt=on -bso0 -bsp0 "$archive" "$name"
"$sevenzip" t -bso0 -bsp0 "$archive"
cd "$work"
rm -rf "$work/temp"
cp "$archive" "$work/remote/"
here=$(sha256sum < "$archive")
there=$(sha256sum < "$work/remote/$name.7z")
[ "$here" = "$there" ] || { echo "the copy differs from the archive" >&2; exit 1; }
rm "$archive"
[ "${4:-}" != empty ] || rm -rf "$folder"
