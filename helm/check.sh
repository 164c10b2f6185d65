#!/usr/bin/env bash
# helm lint --strict and helm template of the chart with its defaults and with every file of ci/.
# Usage: helm/check.sh HELM
set -euo pipefail
helm=$(realpath "${1:?the helm binary}")
cd "$(dirname "$0")/tokenfuse"
# A helm built by `go install` does not know a Kubernetes version of its own.
kubernetes=1.34.0

check() {
  "$helm" lint --strict --quiet --kube-version "$kubernetes" "$@" .
  "$helm" template release . --namespace ns --kube-version "$kubernetes" "$@" >/dev/null
  echo "helm lint, helm template: $*"
}

check --set kafka.bootstrapServers=kafka:9092
for values in ci/*-values.yaml; do
  check --values "$values"
done
