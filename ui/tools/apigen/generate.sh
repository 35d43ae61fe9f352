#!/usr/bin/env bash
# make ui-types: src/api/generated.ts from the gateway's own description. Needs the project's .venv first in PATH.
set -euo pipefail
cd "$(dirname "$0")"
[ -d node_modules ] || npm ci --ignore-scripts --silent
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python schema.py > "$work/api.json"
npx --no-install openapi-typescript "$work/api.json" -o "$work/api.ts" --alphabetize --root-types --root-types-no-schema-prefix --default-non-nullable false > /dev/null
{
  echo "// Made by \`make ui-types\` from the gateway's own description; do not edit. Digest: $(python schema.py --digest)"
  tail -n +5 "$work/api.ts"
} > ../../src/api/generated.ts
