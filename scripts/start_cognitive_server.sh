#!/usr/bin/env bash
# Starts the cognitive server, and a model server for it where one is asked for.
#   ./scripts/start_cognitive_server.sh                      embedded rules answer
#   ./scripts/start_cognitive_server.sh --vlm vlm.toml       SGLang or vLLM, settings in a file
#   ./scripts/start_cognitive_server.sh --docker [PROFILE]   in containers; sglang, vllm or none
# Further words go to `metabonk serve cognitive`. Ctrl-C ends everything in order.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
metabonk="$here/scripts/metabonk"

settings=
case "${1:-}" in
  -h | --help)
    sed -n '2,6p' "$0" | sed 's/^# \{0,1\}//'
    exit 0
    ;;
  --docker)
    if [ $# -gt 2 ]; then
      echo "--docker takes a profile at most, not ${*:3}: containers' settings stand in compose.yaml" >&2
      exit 2
    fi
    if ! docker compose version >/dev/null 2>&1; then
      echo "docker compose is not there: install Docker with its compose plugin, or leave --docker out" >&2
      exit 2
    fi
    profile=()
    if [ -n "${2:-}" ]; then
      profile=(--profile "$2")
      export METABONK_BACKEND_CHAIN="${METABONK_BACKEND_CHAIN:-openai,rules}"
    fi
    exec docker compose -f "$here/docker/cognitive-server/compose.yaml" ${profile[@]+"${profile[@]}"} up --build
    ;;
  --vlm)
    settings=${2:?--vlm takes a settings file: metabonk serve vlm --print makes one}
    shift 2
    ;;
esac

if [ -z "$settings" ]; then
  exec "$metabonk" serve cognitive "$@"
fi
"$metabonk" serve vlm --config "$settings" &
vlm=$!
# The model server ends with this script, however that ends.
trap 'kill "$vlm" 2>/dev/null || true; wait "$vlm" 2>/dev/null || true' EXIT
trap 'exit 130' INT TERM
"$metabonk" serve cognitive --set backend.chain=openai,rules --set backend.wait=1200 "$@"
