#!/usr/bin/env bash
# Learns with System 2: agents play live with the cognitive server's directives, every decision is
# joined with what came of it, and a small policy is distilled from that log.
#   ./scripts/train_with_system2.sh RUN                    RUN: what `metabonk train` has learned
#   WORKERS=16 MINUTES=30 ./scripts/train_with_system2.sh RUN
#   ./scripts/train_with_system2.sh RUN --vlm vlm.toml     a model answers; without one, rules do
# With a model nobody plays before it is loaded; what rules answered in its place does not teach.
# WORKERS (8): agents of one live loop. MINUTES (10): that they play. STRATEGY_FREQ (2.0): seconds
# between an agent's requests. OUT (runs/system2): the log, and by time the sessions and policies;
# a policy is learned from all of the log, earlier sessions included.
# METABONK_COGNITIVE_SERVER_URL (tcp://127.0.0.1:5555): where agents ask. Where one listens already, or
# on another machine, it is asked and nothing is distilled; else one is started there, and ended again.
# HTTP (127.0.0.1 and the next port, 5556 for ipc://): where the one that is started says how it does.
# LOAD (1800): seconds that it may take until it is ready, loading its model included.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
metabonk="$here/scripts/metabonk"
case "${1:-}" in
  -h | --help | "")
    sed -n '2,14p' "$0" | sed 's/^# \{0,1\}//'
    [ -n "${1:-}" ] && exit 0 || exit 2
    ;;
esac
run=$1
shift
workers=${WORKERS:-8} minutes=${MINUTES:-10} out=${OUT:-runs/system2} load=${LOAD:-1800}
case "$load" in
  *[!0-9]*) echo "LOAD=$load: wanted whole seconds" >&2; exit 2 ;;
esac
stamp=$(date +%Y%m%d-%H%M%S)
session=$out/session-$stamp policy=$out/policy-$stamp
# Looked at now: afterwards the minutes would be played.
for folder in "$session" "$policy"; do
  [ ! -e "$folder" ] || { echo "$folder is there already: set another OUT" >&2; exit 2; }
done

url=${METABONK_COGNITIVE_SERVER_URL:-tcp://127.0.0.1:5555}
case "${url#tcp://}" in
  ipc:* | *:*) ;;
  *) url=$url:5555 ;;
esac
export METABONK_COGNITIVE_SERVER_URL="$url"
export METABONK_STRATEGY_FREQUENCY="${STRATEGY_FREQ:-2.0}"
export METABONK_SYSTEM2_ENABLED=1
export METABONK_RL_LOGGING=1

# The environment's own once it is there: not every machine has a python3.
python() {
  local own=$here/.venv/bin/python
  [ -x "$own" ] || own=python3
  "$own" "$@"
}

# Whether anybody listens at tcp://HOST:PORT or ipc://PATH.
listens() {
  python - "$1" <<'PYTHON'
import socket, sys
kind, _, where = sys.argv[1].partition("://")
host, _, port = where.rpartition(":")
try:
    if kind == "ipc":
        socket.socket(socket.AF_UNIX).connect(where)
    else:
        socket.create_connection((host.strip("[]"), int(port)), 5).close()
except (OSError, ValueError):
    sys.exit(1)
PYTHON
}

# Whether agents should come, as the page at HOST:PORT says: not while the model loads, though rules
# answer for it meanwhile.
ready() {
  python - "http://$1/readyz" <<'PYTHON'
import http.client, sys, urllib.request
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
try:
    opener.open(sys.argv[1], timeout=5).close()
except (OSError, ValueError, http.client.HTTPException):
    sys.exit(1)
PYTHON
}

# Waits until the server that was started is ready; says so now and then.
wait_ready() {
  local began=$SECONDS told=2 waited
  until ready "$http"; do
    kill -0 "$server" 2>/dev/null || { echo "the cognitive server did not start" >&2; return 1; }
    waited=$((SECONDS - began))
    if [ "$waited" -ge "$load" ]; then
      echo "the cognitive server is not ready after $waited s: see what it says; LOAD gives it longer" >&2
      return 1
    fi
    if [ "$waited" -ge "$told" ]; then
      echo "waiting for the cognitive server: $waited of $load s; agents play when it is ready" >&2
      told=$((waited + 15))
    fi
    sleep 1
  done
}

ours='' port=${url##*:}
case "$url" in
  tcp://localhost:*[!0-9]* | tcp://127.*:*[!0-9]* | "tcp://[::1]:"*[!0-9]* | *:)
    echo "METABONK_COGNITIVE_SERVER_URL=$url: wanted tcp://HOST:PORT or ipc://PATH" >&2
    exit 2
    ;;
  tcp://localhost:* | tcp://127.*:* | "tcp://[::1]:"*) http=${HTTP:-127.0.0.1:$((port + 1))} ;;
  ipc://*) http=${HTTP:-127.0.0.1:5556} ;;
  *) http= ;; # of another machine
esac
if [ -n "$http" ] && ! listens "$url"; then
  if listens "tcp://$http"; then # it would answer for ours
    echo "$http is taken, where the cognitive server would say how it does: set another HTTP" >&2
    exit 2
  fi
  # It ends when all is played, not by the Ctrl-C of a terminal that the agents share with it.
  apart=()
  if command -v setsid >/dev/null; then apart=(setsid); fi
  # Its own settings are flags: the agents' variables are not for it.
  ${apart[@]+"${apart[@]}"} "$here/scripts/start_cognitive_server.sh" "$@" --bind "$url" --http "$http" \
    --directory "$out/decisions" &
  server=$! ours=1
  end() {
    trap 'kill "$server" 2>/dev/null || true' INT TERM # asked again: it ends at once
    trap : HUP
    kill "$server" 2>/dev/null || true
    while kill -0 "$server" 2>/dev/null; do wait "$server" 2>/dev/null || true; done
  }
  trap end EXIT
  trap 'exit 129' HUP
  trap 'exit 130' INT TERM
  wait_ready
elif [ $# -gt 0 ]; then
  echo "the cognitive server at $url is not started here: $* is not for it" >&2
  exit 2
else
  echo "the cognitive server at $url is not ours: its decisions are where it keeps them, nothing is distilled" >&2
fi

"$metabonk" play --policy "$run" --live --uncertified --agents "$workers" \
  --seconds "$(awk "BEGIN { print $minutes * 60 }")" --out "$session"
if [ -n "$ours" ]; then # another server's log is where it keeps it; an old one of ours says nothing
  "$metabonk" cognition distil "$out/decisions" --out "$policy"
  echo "its backend: metabonk serve cognitive --backend policy --set backend.policy=$policy"
fi
