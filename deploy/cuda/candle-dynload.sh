#!/usr/bin/env bash
# usage: candle-dynload.sh FOLDER
#
# Copies the candle-core that Cargo.lock pins into FOLDER and changes one word of it: libcuda and its companions are
# then opened at run time instead of linked, so that the binary starts on machines without a driver and says what is
# missing. For one build at a time, never committed:
#
#   cargo build --release --features cuda --config "patch.crates-io.candle-core.path='FOLDER'"
#
# That build writes the patch into Cargo.lock; deploy/cuda/build.sh puts the lock file back.
set -euo pipefail

fail() { echo "candle-dynload.sh: $*" >&2; exit 1; }
[ $# -eq 1 ] || { sed -n '2,10s/^# \{0,1\}//p' "$0" >&2; exit 2; }
command -v python3 >/dev/null || fail "python3 is needed to read cargo's answer"
folder=$(realpath -m "$1")
cd "$(dirname "$0")/../.."

cargo fetch --locked --quiet
source=$(cargo metadata --locked --format-version 1 --features cuda | python3 -c '
import json, os, sys
found = [p for p in json.load(sys.stdin)["packages"] if p["name"] == "candle-core"]
print(os.path.dirname(found[0]["manifest_path"]) if found else "")')
[ -n "$source" ] || fail "Cargo.lock names no candle-core"
[ "$source" != "$folder" ] || fail "$folder is the original itself"

version=$(basename "$source")
if [ -f "$folder/.copied-from" ] && [ "$(cat "$folder/.copied-from")" = "$version" ]; then
  exit 0 # a fresh copy would make cargo compile it again
fi
rm -rf "$folder"
mkdir -p "$(dirname "$folder")"
cp -r "$source" "$folder"
rm -f "$folder"/{Cargo.toml.orig,Cargo.lock,.cargo-ok,.cargo_vcs_info.json}
sed -i 's/"dynamic-linking"/"dynamic-loading"/' "$folder/Cargo.toml"
grep -q '"dynamic-loading"' "$folder/Cargo.toml" \
  || fail "$version no longer asks cudarc for dynamic-linking; look at $folder/Cargo.toml"
echo "$version" > "$folder/.copied-from"
