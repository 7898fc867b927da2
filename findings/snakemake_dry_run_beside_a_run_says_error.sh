#!/usr/bin/env bash
# Snakemake: a dry run beside a run that goes on prints an error, and is none.
#
# Version:   snakemake 9.27.1.
# Expected:  a dry run writes nothing and takes no lock, so it either looks at what there is, silently,
#            or, where it refuses, ends with the status of an error.
# Behaviour: it prints "Error: Directory cannot be locked. Another Snakemake instance is running.", lists
#            all jobs, those that run at the moment among them, and ends with status 0. A real run says
#            it otherwise, and ends with status 1.
# Whom it hurts: who looks at what is left of a run of days, and unlocks its folder as other messages
#            about locks advise: a second run may then write the same files. And scripts that look
#            for "Error" in what is printed.
set -euo pipefail
folder=$(mktemp -d)
trap 'touch "$folder/work/go" 2> /dev/null || true; wait; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check snakemake==9.27.1
PATH="$folder/venv/bin:$PATH"
mkdir "$folder/work"
cd "$folder/work"
cat > Snakefile <<'SNAKEFILE'
rule train_model:
    output: "model.pt"
    shell: "touch started; while [ ! -e go ]; do sleep 0.2; done; touch {output}"
SNAKEFILE
snakemake --cores 1 > first.txt 2>&1 &
for _ in $(seq 300); do [ -e started ] && break; sleep 0.2; done
run() {
    status=0
    snakemake --cores 1 "$@" > printed.txt 2>&1 || status=$?
    errors=$(grep -c "^Error: Directory cannot be locked. Another" printed.txt || true)
    jobs=$(grep -cE "^(local)?rule train_model:" printed.txt || true)
    echo "snakemake $(snakemake --version), ${*:-no options}: exit status $status," \
        "$errors lines of an error, $jobs jobs listed"
}
run --dry-run
[ "$status" -eq 0 ] && [ "$errors" -eq 1 ] && [ "$jobs" -eq 1 ]
run
[ "$status" -eq 1 ] && [ "$errors" -eq 0 ] && [ "$jobs" -eq 0 ]
touch go
wait
run --dry-run
[ "$status" -eq 0 ] && [ "$errors" -eq 0 ] && [ "$jobs" -eq 0 ]
