#!/bin/sh
# Once before the first `docker compose up`: .env with fresh secrets (0600) and, when STORAGE_BASE_PATH is set, the storage directories.
# Run it again at will: what is there stays as it is.
set -eu
cd "$(dirname "$0")/.."

secret() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }

if [ ! -e .env ]; then
  (
    umask 077
    {
      echo "# Yours to fill in. QNAP_BASE_PATH: where the NAS is mounted. STORAGE_BASE_PATH: staging, on one file system."
      for name in QNAP_BASE_PATH STORAGE_BASE_PATH GLOBUS_CLIENT_ID GLOBUS_CLIENT_SECRET GLOBUS_SOURCE_ENDPOINT GLOBUS_DESTINATION_ENDPOINT; do
        echo "$name="
      done
      echo "GLOBUS_DESTINATION_BASE_PATH=/"
      echo "# Path under which the source collection shows STORAGE_BASE_PATH/archives."
      echo "GLOBUS_SOURCE_COLLECTION_PATH=/"
      echo "# The account that may read and write the NAS and owns STORAGE_BASE_PATH."
      echo "CS_ARCHIVER_UID=10001"
      echo "CS_ARCHIVER_GID=10001"
      echo "GATEWAY_PORT=8000"
      echo "# The address from which your HTTPS proxy reaches the gateway's container (docs/operations.md, Behind a proxy)."
      echo "FORWARDED_ALLOW_IPS="
      echo "# The first password of admin; empty: changeme, to be changed at once."
      echo "ADMIN_INITIAL_PASSWORD="
      echo "# Made by deploy/prepare.sh."
      for name in POSTGRES_PASSWORD CS_SCANNER_PASSWORD CS_COMPRESSOR_PASSWORD CS_UPLOADER_PASSWORD CS_GATEWAY_PASSWORD \
        NATS_PASSWORD_PROVISION NATS_PASSWORD_SCANNER NATS_PASSWORD_COMPRESSOR NATS_PASSWORD_UPLOADER NATS_PASSWORD_GATEWAY \
        NATS_PASSWORD_SUBSCRIBER JWT_SECRET_KEY; do
        echo "$name=$(secret)"
      done
    } >.env.new
    mv .env.new .env
  )
  echo "Made .env: fill in its first part, then run this once more."
fi

storage=$(sed -n 's/^STORAGE_BASE_PATH=//p' .env)
owner=$(sed -n 's/^CS_ARCHIVER_UID=//p' .env):$(sed -n 's/^CS_ARCHIVER_GID=//p' .env)
if [ -n "$storage" ]; then
  for name in temp archives failed workspaces; do
    [ -d "$storage/$name" ] || { mkdir -p "$storage/$name" && chmod 700 "$storage/$name" && chown "$owner" "$storage/$name"; }
  done
  echo "Storage is prepared in $storage."
fi

# A setting that nobody reads is named. .env holds what compose.yaml asks for; deploy/settings.env what services read by themselves.
names() { sed -n 's/^[[:space:]]*\(export[[:space:]]\{1,\}\)\{0,1\}\([A-Za-z_][A-Za-z0-9_]*\)[[:space:]]*=.*/\2/p' "$1"; }
instead() { sed -n "s/^|.*\`$1\`.*|[[:space:]]*\(.*[^[:space:]]\)[[:space:]]*|\$/\1/p" docs/settings.md | tail -n 1 | tr -d '\`'; }
is_setting() { grep -q "^| \`$1\` |.*|.*|\$" docs/settings.md; }
asked_for=$(grep -o '\${[A-Z_]*' compose.yaml | tr -d '${')
given=$(sed -n 's/^      \([A-Z_]*\):.*/\1/p' compose.yaml)
has() { printf '%s\n' "$1" | grep -qx "$2"; }
warn() { echo "Warning: ${1% }" >&2; }

for name in $(names .env); do
  case $name in COMPOSE_* | DOCKER_* | BUILDKIT_*) continue ;; esac # compose's own
  if has "$asked_for" "$name"; then
    continue
  elif has "$given" "$name"; then
    warn ".env: $name has no effect. compose.yaml sets it."
  elif is_setting "$name"; then
    warn ".env: $name has no effect. Move it to deploy/settings.env."
  else
    warn ".env: $name is not a setting and has no effect. $(instead "$name")"
  fi
done
[ ! -e deploy/settings.env ] || for name in $(names deploy/settings.env); do
  if has "$asked_for" "$name"; then
    warn "deploy/settings.env: $name has no effect. Move it to .env."
  elif has "$given" "$name"; then
    warn "deploy/settings.env: $name has no effect. compose.yaml sets it."
  elif ! is_setting "$name"; then
    warn "deploy/settings.env: $name is not a setting and has no effect. $(instead "$name")"
  fi
done
for name in config.yaml config.yml; do
  [ ! -e "$name" ] || warn "$name has no effect. Settings go into .env and deploy/settings.env; docs/settings.md has the name of each."
done
