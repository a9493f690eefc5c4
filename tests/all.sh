#!/usr/bin/env bash
# Runs all tests: the pure ones beside those on the real parts, which mostly wait. Fails when either does.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
pytest=${PYTEST:-.venv/bin/pytest}
pure=(tests/fuzz tests/golden tests/property tests/tidy tests/unit)
real=()
for folder in tests/*/; do # whatever is not pure, so that a new folder is never forgotten
    folder=${folder%/}
    compgen -G "$folder/test_*.py" > /dev/null || continue
    [[ " ${pure[*]} " == *" $folder "* ]] || real+=("$folder")
done
beside=
log=$(mktemp)
trap 'rm -f "$log"; [ -z "$beside" ] || kill "$beside" 2> /dev/null' EXIT
"$pytest" "${pure[@]}" "$@" > "$log" 2>&1 &
beside=$!
"$pytest" "${real[@]}" "$@"
code=$?
wait "$beside"
pure_code=$?
beside=
cat "$log"
exit $((code || pure_code))
