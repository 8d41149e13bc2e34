#!/usr/bin/env bash
# One job over the HTTP twin, with curl alone: events, torn off in mid-draft, resumed by Last-Event-ID, ended, 204.
# Usage: tests/clients/sse.sh http://127.0.0.1:8080
set -euo pipefail

base=$1
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
guard_seconds=120
cut_after=25
ends='job\.(completed|failed|cancelled|incomplete)'

fail() {
  echo "curl, sse: FAILED: $*" >&2
  exit 1
}

# Reads one event from descriptor $1 into `event` and `id`; false at the end of the stream.
next_event() {
  local line
  event='' id=''
  while IFS= read -r -t "$guard_seconds" -u "$1" line; do
    line=${line%$'\r'}
    case $line in
      'event:'*) event=${line#event:} event=${event# } ;;
      'id:'*) id=${line#id:} id=${id# } ;;
      '') [[ -z $event ]] || return 0 ;;
    esac
  done
  return 1
}

# The event just read has an id, and it is the next one of the log; only a snapshot may stand further on.
follows() {
  [[ $id =~ ^[0-9a-f]{16}\.[0-9]+$ ]] || fail "the event $event has the id '$id'"
  local seq=${id#*.}
  if ((last == 0)) || [[ $event == job.snapshot ]]; then
    ((seq > last)) || fail "$event $id after $last_id"
  else
    ((seq == last + 1)) || fail "$event $id after $last_id"
  fi
  last=$seq last_id=$id count=$((count + 1))
}

answer=$(curl -sS --fail-with-body --max-time "$guard_seconds" -H 'content-type: application/json' \
  --data-binary "@$here/request.json" "$base/v1/jobs") || fail "POST /v1/jobs: $answer"
[[ $answer =~ \"job_id\":\ *\"([0-9a-f-]{36})\" ]] || fail "no job_id in $answer"
# With notes every event is told: then no seq may be missing.
events="$base/v1/jobs/${BASH_REMATCH[1]}/events?notes=true"
last=0 last_id='' count=0

exec {stream}< <(exec curl -sSN --fail --max-time "$guard_seconds" "$events")
curl_pid=$!
while ((count < cut_after)); do
  next_event "$stream" || fail "the stream ended after $count events"
  [[ ! $event =~ ^$ends$ ]] || fail "the job ended after $count events, before it could be torn"
  follows
done
kill -KILL "$curl_pid"
exec {stream}<&-
torn_at=$last

exec {stream}< <(exec curl -sSN --fail --max-time "$guard_seconds" -H "Last-Event-ID: $last_id" "$events")
curl_pid=$!
while [[ ! $event =~ ^$ends$ ]]; do
  next_event "$stream" || fail "the resumed stream stopped at $last_id without an end"
  follows
done
[[ $event == job.completed ]] || fail "the end is $event"
! next_event "$stream" || fail "after the end came $event"
wait "$curl_pid" || fail "curl's exit code after the end is $?"

status=$(curl -sS -o /dev/null -w '%{http_code}' --max-time "$guard_seconds" -H "Last-Event-ID: $last_id" "$events")
[[ $status == 204 ]] || fail "after the end, Last-Event-ID is answered with $status, not 204"
echo "curl, sse: completed at seq $last; torn off after seq $torn_at and resumed, $count events without gap or repeat; then 204"
