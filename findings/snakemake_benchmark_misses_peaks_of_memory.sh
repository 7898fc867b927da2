#!/usr/bin/env bash
# Snakemake: a benchmark's max_rss is no maximum: after 15 seconds it is looked at twice a minute.
#
# Version:   snakemake 9.27.1.
# Expected:  max_rss is the most memory that the job had, as the operating system keeps it
#            (VmHWM, ru_maxrss).
# Behaviour: memory is looked at every half second for the first 15 seconds, and then every 30. A job
#            that needs 500 MB for 22 seconds in its second half has a max_rss of some 15 MB.
# Whom it hurts: who asks a cluster for mem_mb by earlier benchmarks: validation, the last epoch's
#            scores, or the saving of a checkpoint need the most, for seconds, and the job is killed
#            there.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check snakemake==9.27.1
cd "$folder"
cat > Snakefile <<'RULE'
rule train:
    output: "peak.txt"
    benchmark: "train.tsv"
    shell: "python3 train.py > {output}"
RULE
cat > train.py <<'PYTHON'
import resource
import time

time.sleep(48)  # looked at until second 15, and then at second 45 or so
validation = bytearray(500_000_000)
time.sleep(22)
del validation
time.sleep(8)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)  # MB, as the system has it
PYTHON
venv/bin/snakemake --cores 1 --quiet all
python3 - <<'PYTHON'
import csv

(row,) = csv.DictReader(open("train.tsv"), delimiter="\t")
peak, benchmark = float(open("peak.txt").read()), float(row["max_rss"])
print(f"the system: {peak:.0f} MB; max_rss of the benchmark: {benchmark:.0f} MB in {row['s']} s")
assert peak > 450 and benchmark < 100
PYTHON
