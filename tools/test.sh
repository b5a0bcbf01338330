#!/usr/bin/env bash
# Builds everything and runs all tests. Arguments go to ctest: tools/test.sh -R storage
set -euo pipefail
# shellcheck source=tools/setup.sh
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

install_packages
fetch_model
fetch_faiss_source
build all
say "running the tests"
export CAIRN_MODEL CAIRN_ADAPTER
cd "$CAIRN_BUILD"
exec ctest --output-on-failure --parallel "$(nproc)" "$@"
