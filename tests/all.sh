#!/usr/bin/env bash
# Runs all tests but the long ones (`make soak` has these) in three lanes side by side, of about the same length: the
# pure ones, the faults, the page and smaller ones; the gateway, the integration tests and the locked parts; and
# whatever else there is. Every run of pytest starts parts of its own. Fails when any fails. (A fourth lane makes two
# cores so busy that tests which bound an answer fail.)
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
pytest=(${PYTEST:-.venv/bin/pytest} --durations=15 --durations-min=5 -m "not long")
pure=(tests/fuzz tests/golden tests/property tests/tidy tests/unit)
smaller=(tests/browser tests/conformance tests/embedded tests/migration tests/monitoring)
face=(tests/gateway)
beside=(tests/integration)
locked=(tests/locked)
rest=()
for folder in tests/*/; do # whatever is none of them, so that a new folder is never forgotten
    folder=${folder%/}
    compgen -G "$folder/test_*.py" > /dev/null || continue
    [[ " ${pure[*]} tests/faults ${smaller[*]} ${face[*]} ${beside[*]} ${locked[*]} " == *" $folder "* ]] || rest+=("$folder")
done
# Brokers of tests live for a minute, of which the JVM's second compiler is half of the CPU.
export JAVA_TOOL_OPTIONS="${JAVA_TOOL_OPTIONS:--XX:TieredStopAtLevel=1}"
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
lane 1-pure "${pure[@]}" -- tests/faults -- "${smaller[@]}" &
pids+=($!)
lane 2-face "${face[@]}" -- "${beside[@]}" -- "${locked[@]}" &
pids+=($!)
"${pytest[@]}" "${rest[@]}" "${options[@]}"
code=$?
for pid in "${pids[@]}"; do
    wait "$pid" || code=1
done
pids=()
cat "$logs"/*
echo "The tests that are called deselected above are long ones: \`make soak\` runs them."
exit "$code"
