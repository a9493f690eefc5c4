#!/usr/bin/env bash
# Runs all tests in two lanes side by side: the pure ones and then the faults, which keep a core busy each; and
# whatever else needs the real parts, which mostly waits. Each lane starts parts of its own. Fails when any fails.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
pytest=${PYTEST:-.venv/bin/pytest}
pure=(tests/fuzz tests/golden tests/property tests/tidy tests/unit)
faults=(tests/faults)
real=()
for folder in tests/*/; do # whatever is neither, so that a new folder is never forgotten
    folder=${folder%/}
    compgen -G "$folder/test_*.py" > /dev/null || continue
    [[ " ${pure[*]} ${faults[*]} " == *" $folder "* ]] || real+=("$folder")
done
beside=
log=$(mktemp)
trap 'rm -f "$log"; [ -z "$beside" ] || kill "$beside" 2> /dev/null' EXIT
(
    "$pytest" "${pure[@]}" "$@"
    code=$?
    "$pytest" "${faults[@]}" "$@" || code=$?
    exit "$code"
) > "$log" 2>&1 &
beside=$!
"$pytest" "${real[@]}" "$@"
code=$?
wait "$beside"
beside_code=$?
beside=
cat "$log"
exit $((code || beside_code))
