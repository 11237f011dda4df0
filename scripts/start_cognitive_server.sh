#!/usr/bin/env bash
# Starts the cognitive server, and a model server for it where one is asked for.
#   ./scripts/start_cognitive_server.sh                      embedded rules answer
#   ./scripts/start_cognitive_server.sh --vlm vlm.toml       SGLang or vLLM, settings in a file
#   ./scripts/start_cognitive_server.sh --docker [PROFILE]   in containers; sglang, vllm or none
# Further words go to `metabonk serve cognitive`. Ctrl-C ends everything in order, once more at once.
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
# Where it will be, by which key, and how long it may load: what its settings say.
told=$("$metabonk" serve vlm --config "$settings" --asked-by)
asking=()
while IFS= read -r line; do
  asking+=(--set "$line")
done <<<"$told"

# Both end with this script, however that ends; the model server last, for what is under way. A
# terminal's Ctrl-C would reach them, too: a session of their own keeps it from all but this script.
apart=()
if command -v setsid >/dev/null; then apart=(setsid); fi
vlm='' server=''
# shellcheck disable=SC2329 # traps call it
end() {
  local one
  trap 'hurry' INT TERM
  trap : HUP
  for one in $server $vlm; do
    kill "$one" 2>/dev/null || true
    while kill -0 "$one" 2>/dev/null; do wait "$one" 2>/dev/null || true; done
  done
}
# shellcheck disable=SC2329
hurry() { # asked again: what drains ends at once
  [ -z "$server" ] || kill "$server" 2>/dev/null || true
}
trap end EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
${apart[@]+"${apart[@]}"} "$metabonk" serve vlm --config "$settings" &
vlm=$!
${apart[@]+"${apart[@]}"} "$metabonk" serve cognitive "${asking[@]}" "$@" &
server=$!
status=0
wait -n || status=$?
if ! kill -0 "$vlm" 2>/dev/null; then
  echo "the model server has ended (status $status): so does the cognitive server" >&2
  [ "$status" -ne 0 ] || status=1
fi
exit "$status"
