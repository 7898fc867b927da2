#!/usr/bin/env bash
# Snakemake: a container image in a folder with a space stops workflows that use no containers.
#
# Version:   snakemake 9.27.1.
# Expected:  `container:` is looked at where --software-deployment-method apptainer asks for it; other
#            runs, dry ones too, go on without it, as they do where the image does not exist.
# Behaviour: an image that does not exist is no matter. One whose path holds a space is refused while
#            the rules are read, whatever is asked for: not even a dry run works.
# Whom it hurts: workflows that declare an image beside their Snakefile, and are cloned into a folder
#            such as "My Projects".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check snakemake==9.27.1
PATH="$folder/venv/bin:$PATH"
dry_run() {
    mkdir -p "$folder/$1"
    cd "$folder/$1"
    printf 'container: "%s/image.sif"\nrule all:\n    output: "done.txt"\n    shell: "touch {output}"\n' \
        "$folder/$1" > Snakefile
    status=0
    snakemake --dry-run --cores 1 > printed.txt 2>&1 || status=$?
    echo "snakemake $(snakemake --version), image in '$1', which does not exist: exit status $status"
    grep -i "image" printed.txt | sed "s|$folder|...|" | head -1 || true
}
dry_run "projects"
[ "$status" -eq 0 ]
dry_run "my projects"
[ "$status" -eq 1 ] && grep -q "image URL containing whitespace" printed.txt
