# SPDX-License-Identifier: Apache-2.0
# Runs the commands that come in on the channel to the test, one after the other.
# Request: seconds that it may take, and the command in base64. Answer: its exit status, and its
# output in base64.
exec 3<>/dev/virtio-ports/agent
echo ready >&3
while read -r -u 3 limit request; do
  output=$(timeout -k 5 "$limit" bash -c "$(base64 -d <<<"$request")" 2>&1 3>&- </dev/null |
    base64 -w 0; exit "${PIPESTATUS[0]}")
  echo "$? $output" >&3
done
