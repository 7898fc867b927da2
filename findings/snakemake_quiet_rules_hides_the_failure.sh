#!/usr/bin/env bash
# Snakemake: `--quiet rules` leaves out the report of a job that failed.
#
# Version:   snakemake 9.27.1.
# Expected:  the option leaves out what it is named after, the announcement of each rule that starts.
#            A job that fails is reported as without it: rule, output and where its log is.
# Behaviour: that report ("Error in rule ...") is left out too. What is left is the exception with the
#            text of the command: neither rule nor output, and a log only where the command names it.
# Whom it hurts: Makefiles and jobs of clusters that use the option against hundreds of announcements:
#            of a training that failed at night, its output and its log have to be guessed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check snakemake==9.27.1
PATH="$folder/venv/bin:$PATH"
mkdir "$folder/work"
cd "$folder/work"
cat > Snakefile <<'SNAKEFILE'
rule train_model:
    output: "model.pt"
    log: "train_model.log"
    shell: "exit 1"
SNAKEFILE
run() {
    status=0
    snakemake --cores 1 "$@" > printed.txt 2>&1 || status=$?
    reports=$(grep -c "Error in rule train_model" printed.txt || true)
    logs=$(grep -c "train_model.log" printed.txt || true)
    echo "snakemake $(snakemake --version) $*: exit status $status, $reports reports of the failed job," \
        "$logs lines that name its log"
}
run
[ "$status" -eq 1 ] && [ "$reports" -eq 1 ] && [ "$logs" -gt 0 ]
run --quiet rules
[ "$status" -eq 1 ] && [ "$reports" -eq 0 ] && [ "$logs" -eq 0 ]
