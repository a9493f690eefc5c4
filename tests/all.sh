#!/usr/bin/env bash
# Runs all tests in four lanes side by side, of about the same length: the pure ones, the integration tests, the page and
# smaller ones; the gateway and two long acceptance tests; the faults, and what running it for real needs; and whatever
# else there is. Every run of pytest starts parts of its own. Fails when any fails.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
pytest=(${PYTEST:-.venv/bin/pytest} --durations=15 --durations-min=5)
pure=(tests/fuzz tests/golden tests/property tests/tidy tests/unit)
smaller=(tests/browser tests/conformance tests/embedded tests/migration)
face=(tests/gateway)
beside=(tests/integration)
running=(tests/kubernetes tests/locked tests/monitoring) # it for real
long=(tests/acceptance/test_contacts.py tests/acceptance/test_verifier.py)
rest=()
for folder in tests/*/; do # whatever is none of them, so that a new folder is never forgotten
    folder=${folder%/}
    compgen -G "$folder/test_*.py" > /dev/null || continue
    [[ " ${pure[*]} tests/faults ${smaller[*]} ${face[*]} ${beside[*]} ${running[*]} " == *" $folder "* ]] || rest+=("$folder")
done
logs=$(mktemp -d)
pids=()
trap 'rm -rf "$logs"; [ -z "${pids[*]}" ] || kill "${pids[@]}" 2> /dev/null' EXIT

lane() { # NAME, then the folders of each run with "--" between them
    local name=$1 code=0 run=()
    shift
    for word in "$@" --; do
        if [ "$word" != -- ]; then
            run+=("$word")
            continue
        fi
        "${pytest[@]}" "${run[@]}" "${options[@]}" || code=$?
        run=()
    done > "$logs/$name" 2>&1
    return "$code"
}

options=("$@")
lane 1-pure "${pure[@]}" -- "${beside[@]}" -- "${smaller[@]}" &
pids+=($!)
lane 2-face "${face[@]}" -- "${long[@]}" &
pids+=($!)
lane 3-faults tests/faults -- "${running[@]}" &
pids+=($!)
"${pytest[@]}" "${rest[@]}" "${long[@]/#/--ignore=}" "${options[@]}"
code=$?
for pid in "${pids[@]}"; do
    wait "$pid" || code=1
done
pids=()
cat "$logs"/*
exit "$code"
