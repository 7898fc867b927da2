#!/usr/bin/env bash
# Snakemake: in a function of a Snakefile, a line that begins with a call of `report` is no Python.
#
# Version:   snakemake 9.27.1.
# Expected:  what is no rule is Python. A function that returns outputs for several rules, each marked
#            by `report(...)`, is read as such, wherever its lines are broken.
# Behaviour: where the call stands at the beginning of a line, `report` is taken for the keyword that names
#            the report's start page: "Colon expected after keyword report", and a KeyError of the code
#            that prints it. On the line of the `return` the same call works: a formatter breaks it.
# Whom it hurts: studies with a figure for each video, whose outputs are made by a function.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check snakemake==9.27.1
PATH="$folder/venv/bin:$PATH"
mkdir "$folder/work"
cd "$folder/work"
write() {
    printf 'def figure(name):\n    return [%sreport(name, category="Rollouts")]\n\n\n' "$1" > Snakefile
    printf 'rule draw:\n    output: figure("video0.png")\n    shell: "touch {output}"\n' >> Snakefile
}
run() {
    status=0
    snakemake --cores 1 --dry-run > printed.txt 2>&1 || status=$?
    keyword=$(grep -c "Colon expected after keyword report" printed.txt || true)
    echo "snakemake $(snakemake --version), report() $1: exit status $status, $keyword lines that speak of a keyword"
}
write ''
run "on the line of the return"
[ "$status" -eq 0 ] && [ "$keyword" -eq 0 ]
write $'\n        '
run "on a line of its own"
[ "$status" -ne 0 ] && [ "$keyword" -gt 0 ]
