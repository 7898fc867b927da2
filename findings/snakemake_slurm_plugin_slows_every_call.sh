#!/usr/bin/env bash
# Snakemake: an executor plugin that is installed is loaded by every call, and pandas with Slurm's.
#
# Version:   snakemake 9.27.1 with snakemake-executor-plugin-slurm 2.8.0.
# Expected:  a plugin is found by its name, and loaded where --executor asks for it; `snakemake
#            --version` and local runs take no longer with it than without.
# Behaviour: the parser of the command line loads all plugins to know their options. Slurm's imports
#            pandas, which no other part of such a call does.
# Whom it hurts: tools and scripts that call `snakemake -n` often, in an environment that is shared
#            with a cluster's: each call waits for pandas.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
python="$folder/venv/bin/python"
pip() { "$python" -m pip install --quiet --disable-pip-version-check "$@"; }
pip snakemake==9.27.1
loaded() { "$python" -X importtime -m snakemake --version 2>&1 | grep -cE "\| +$1$" || true; }
without=$(loaded pandas)
pip snakemake-executor-plugin-slurm==2.8.0
with=$(loaded pandas)
echo "snakemake 9.27.1 --version imports pandas: $without times without the plugin, $with with it"
[ "$without" -eq 0 ] && [ "$with" -eq 1 ]
