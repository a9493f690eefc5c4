#!/usr/bin/env bash
# Runs all tests in three lanes side by side: the pure ones, the faults and some smaller ones; the gateway and its page,
# which mostly wait; and whatever else needs the real parts. Every run of pytest starts parts of its own. Fails when any
# fails.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
pytest=(${PYTEST:-.venv/bin/pytest} --durations=15 --durations-min=5)
pure=(tests/fuzz tests/golden tests/property tests/tidy tests/unit)
smaller=(tests/conformance tests/embedded tests/migration)
face=(tests/gateway tests/browser)
real=()
for folder in tests/*/; do # whatever is none of them, so that a new folder is never forgotten
    folder=${folder%/}
    compgen -G "$folder/test_*.py" > /dev/null || continue
    [[ " ${pure[*]} tests/faults ${smaller[*]} ${face[*]} " == *" $folder "* ]] || real+=("$folder")
done
logs=$(mktemp -d)
pids=()
trap 'rm -rf "$logs"; [ -z "${pids[*]}" ] || kill "${pids[@]}" 2> /dev/null' EXIT
(
    "${pytest[@]}" "${pure[@]}" "$@"
    code=$?
    "${pytest[@]}" tests/faults "$@" || code=$?
    "${pytest[@]}" "${smaller[@]}" "$@" || code=$?
    exit "$code"
) > "$logs/pure" 2>&1 &
pids+=($!)
"${pytest[@]}" "${face[@]}" "$@" > "$logs/face" 2>&1 &
pids+=($!)
"${pytest[@]}" "${real[@]}" "$@"
code=$?
for pid in "${pids[@]}"; do
    wait "$pid" || code=1
done
pids=()
cat "$logs"/*
exit "$code"
