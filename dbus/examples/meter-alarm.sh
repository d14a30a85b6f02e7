#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Says when more power comes from the grid than it should, or what was used today.
# Needs busctl (systemd) and jq. What the names mean: org.smartmeterd1(5).
set -eu

usage() {
  cat <<'END'
Usage: meter-alarm.sh [-m METER] [-i SECONDS] [-x COMMAND] [-1] WATT
       meter-alarm.sh [-m METER] -e

Prints a line when the power from the grid exceeds WATT, and another one when it no longer does;
with -e the energy of today, in kWh, and ends.

  -m METER    id or name of the meter; without it the first one
  -i SECONDS  time between two looks, 5 without it
  -x COMMAND  what to run with the line as its last argument, as in -x "notify-send Meter"
  -1          one look: exit status 0 when the power is within the limit, 3 when it exceeds it
END
}

fail() {
  printf 'meter-alarm.sh: %s\n' "$1" >&2
  exit "${2:-1}"
}

# Calls a method of smartmeterd, which is not started for it; JSON.
call() {
  busctl --system --auto-start=no --json=short call org.smartmeterd1 "$@"
}

# Path and power of the meter; nothing where there is none. One call gives all objects with their
# properties. The power is what is imported less what is exported; a value that the meter does not
# send is null.
meter() {
  objects=$(call /org/smartmeterd1 org.freedesktop.DBus.ObjectManager GetManagedObjects \
    2>/dev/null) || return 0
  printf '%s' "$objects" | jq --raw-output --arg wanted "$wanted" '
    [.data[0] | to_entries[]
      | select(.value["org.smartmeterd1.Electricity"])
      | .value["org.smartmeterd1.Meter"] as $meter
      | select($wanted == "" or $meter.Id.data == $wanted or $meter.Name.data == $wanted)
      | .value["org.smartmeterd1.Electricity"] as $values
      | {path: .key, id: $meter.Id.data,
         power: (($values.PowerImport.data // 0) - ($values.PowerExport.data // 0))}]
    | sort_by(.id) | .[0] // empty | "\(.path) \(.power | round)"'
}

# Runs the command, if there is one, and prints the line.
say() {
  printf '%s\n' "$1"
  # More than one word on purpose: a command and its arguments.
  # shellcheck disable=SC2086
  [ -z "$command" ] || $command "$1" || printf 'meter-alarm.sh: %s failed\n' "$command" >&2
}

# The row of today, by the calendar: the first row is the one that `from` falls in.
energy_today() {
  from=$(date +%s)000000
  rows=$(call "$1" org.smartmeterd1.Meter History 'ttua{sv}' "$from" "$((from + 1))" 0 \
    1 period s day) || fail 'no history: is it switched off, or not allowed to you?'
  kwh=$(printf '%s' "$rows" | jq '.data[0][0][1].energy_import_delta // empty')
  [ -n "$kwh" ] || fail 'the use of today is not known yet: nothing was read before today'
  printf '%s kWh\n' "$kwh"
}

wanted='' interval=5 command='' once='' energy=''
while getopts m:i:x:1eh option; do
  case $option in
    m) wanted=$OPTARG ;;
    i) interval=$OPTARG ;;
    x) command=$OPTARG ;;
    1) once=yes ;;
    e) energy=yes ;;
    h) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
  esac
done
shift $((OPTIND - 1))
case "$energy${1:-}" in
  yes) ;;  # today's energy has no limit
  '' | *[!0-9]* | ??????????*) usage >&2; exit 2 ;;  # more digits than every shell compares
  *) ;;
esac
limit=${1:-}

state=within
while :; do
  found=$(meter)
  path=${found% *} power=${found##* }
  if [ -n "$energy" ]; then
    [ -n "$found" ] || fail 'no meter: "smartmeterctl list" says why'
    energy_today "$path"
    exit 0
  elif [ -z "$found" ]; then
    [ "$state" = lost ] || say 'no meter: "smartmeterctl list" says why'
    state=lost
  elif [ "$power" -gt "$limit" ]; then
    [ "$state" = above ] || say "$power W: more than $limit W"
    state=above
  else
    [ "$state" = within ] || say "$power W: within $limit W"
    state=within
  fi
  if [ -n "$once" ]; then
    case $state in within) exit 0 ;; above) exit 3 ;; *) exit 1 ;; esac
  fi
  sleep "$interval"
done
