#!/usr/bin/env bash
# Runs all tests in two lanes side by side: the pure ones, the faults and some smaller ones; and whatever else needs the
# real parts, which mostly waits. Every run of pytest starts parts of its own. Fails when any fails.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
pytest=${PYTEST:-.venv/bin/pytest}
long=(--durations=15 --durations-min=5)
pure=(tests/fuzz tests/golden tests/property tests/tidy tests/unit)
smaller=(tests/conformance tests/embedded tests/migration tests/gateway tests/browser)
real=()
for folder in tests/*/; do # whatever is neither, so that a new folder is never forgotten
    folder=${folder%/}
    compgen -G "$folder/test_*.py" > /dev/null || continue
    [[ " ${pure[*]} tests/faults ${smaller[*]} " == *" $folder "* ]] || real+=("$folder")
done
beside=
log=$(mktemp)
trap 'rm -f "$log"; [ -z "$beside" ] || kill "$beside" 2> /dev/null' EXIT
(
    "$pytest" "${long[@]}" "${pure[@]}" "$@"
    code=$?
    "$pytest" "${long[@]}" tests/faults "$@" || code=$?
    "$pytest" "${long[@]}" "${smaller[@]}" "$@" || code=$?
    exit "$code"
) > "$log" 2>&1 &
beside=$!
"$pytest" "${long[@]}" "${real[@]}" "$@"
code=$?
wait "$beside"
beside_code=$?
beside=
cat "$log"
exit $((code || beside_code))
