#!/usr/bin/env bash
# PyTorch: the bytes of a checkpoint depend on the name of the file that it is saved to.
#
# Version:   torch 2.13.0.
# Expected:  torch.save of the same tensors writes the same bytes, so that a digest of the file tells
#            whether two runs ended with the same weights.
# Behaviour: the archive's inner folder is named after the file, without its ending. savi.pt and
#            copy.pt differ, though their tensors are equal; best/savi.pt and last/savi.pt are
#            the same to the bit; and a file that was written under a temporary name and renamed keeps
#            the temporary name inside. Saving to an open file names the folder `archive`.
# Whom it hurts: who compares checkpoints, caches or results of a pipeline by the digests of files,
#            and writes them under a temporary name first.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install --quiet --disable-pip-version-check --target "$folder/packages" \
    torch==2.13.0 numpy==2.3.5
cd "$folder"
mkdir best last
PYTHONPATH="$folder/packages" python3 - <<'PYTHON'
import hashlib
import zipfile
from pathlib import Path

import torch

weights = {"weight": torch.arange(6.0)}
for name in ("savi.pt", "copy.pt", "best/savi.pt", "last/savi.pt", "savi.pt.tmp1"):
    torch.save(weights, name)
Path("savi.pt.tmp1").rename("renamed.pt")
with open("handle.pt", "wb") as file:
    torch.save(weights, file)
inner, digests = {}, {}
for path in ("savi.pt", "copy.pt", "best/savi.pt", "last/savi.pt", "renamed.pt", "handle.pt"):
    inner[path] = zipfile.ZipFile(path).namelist()[0].partition("/")[0]
    digests[path] = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    print(f"torch {torch.__version__}: {path:14} inner folder {inner[path]:10} {digests[path][:12]}")
assert digests["best/savi.pt"] == digests["last/savi.pt"] == digests["savi.pt"]
assert len({digests[p] for p in ("savi.pt", "copy.pt", "renamed.pt", "handle.pt")}) == 4
assert inner["renamed.pt"] == "savi.pt" and inner["handle.pt"] == "archive"
PYTHON
