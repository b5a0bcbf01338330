#!/usr/bin/env bash
# Packs what a bare machine with a GPU needs to check and measure cairn there: programs, the shared
# libraries they load, the model and a text.
#
#   tools/gpu-check/pack.sh DIRECTORY [--model FILE] [--adapter FILE] [--text FILE]
#                           [--part-size SIZE] [--cairn PROGRAM] [--cublaslt FILE]
#
# The programs of build/ are brought up to date first. cuBLASLt, which multiplies there, is packed
# if it is found where cairn looks for it, and cuBLAS, of which FAISS has need, if it lies beside
# it, hundreds of megabytes. --cublaslt names another libcublasLt.so.N, or says none:
# then run.sh looks for that machine's.
#
# On that machine: DIRECTORY/run.sh RESULTS. With --part-size the directory has parts of at most so
# much (as split takes it, e.g. 44M), of the programs and of the model with its text. unpack.sh puts
# them together: those of the programs do for all that needs no model.
set -euo pipefail

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
BUILD="$ROOT/build"
TESTS=(gpu_device_test gpu_kernels_test gpu_index_test gpu_session_test gpu_model_test)
MODEL="$ROOT/.cache/models/SmolLM2-135M-Instruct.Q4_1.gguf"
ADAPTER="$ROOT/model/adapters/smollm2-135m-landmark.gguf"
CAIRN="$BUILD/bin/cairn"
TEXT=""
PART_SIZE=""
CUBLASLT=""

fail() {
  printf 'pack.sh: %s\n' "$*" >&2
  exit 1
}

[[ $# -ge 1 && "$1" != -* ]] || fail "say into which directory"
TARGET="$1"
shift
while (($# > 0)); do
  [[ $# -ge 2 ]] || fail "$1 needs a value"
  case "$1" in
    --model) MODEL="$2" ;;
    --adapter) ADAPTER="$2" ;;
    --text) TEXT="$2" ;;
    --part-size) PART_SIZE="$2" ;;
    --cairn) CAIRN="$2" ;;
    --cublaslt) CUBLASLT="$2" ;;
    *) fail "no option $1" ;;
  esac
  shift 2
done

# A build has this one where FAISS for GPUs is in it.
if [[ -x "$BUILD/bin/gpu_faiss_test" ]]; then TESTS+=(gpu_faiss_test); fi
[[ ! -e "$TARGET" ]] || fail "$TARGET is there already; name a new directory"
[[ -f "$MODEL" ]] || fail "no model at $MODEL; fetch it with tools/setup.sh, or say --model"
targets=("${TESTS[@]}")
[[ "$CAIRN" != "$BUILD/bin/cairn" ]] || targets+=(cairn)
[[ ! -e "$BUILD/CMakeCache.txt" ]] || cmake --build "$BUILD" --target "${targets[@]}" >&2 ||
  fail "the programs of $BUILD cannot be built"
for program in "$CAIRN" "${TESTS[@]/#/$BUILD/bin/}"; do
  [[ -f "$program" && -x "$program" ]] ||
    fail "$program is not there; build where nvcc is (docs/gpu.md)"
done
if [[ -z "$CUBLASLT" ]]; then
  for place in $(ldconfig -p 2>/dev/null | awk '$1 ~ /^libcublasLt\.so\.1[23]$/ { print $NF }' |
    sort -r) /usr/local/cuda/lib64/libcublasLt.so.1{3,2} none; do
    CUBLASLT="$place"
    [[ ! -f "$place" ]] || break
  done
fi
[[ "$CUBLASLT" == none || -f "$CUBLASLT" && "$CUBLASLT" =~ (^|/)libcublasLt\.so\.[0-9]+$ ]] ||
  fail "--cublaslt takes a file libcublasLt.so.N, or none, and not $CUBLASLT"

PACK="$(mktemp -d)"
trap 'rm -rf "$PACK"' EXIT
mkdir "$PACK/bin" "$PACK/lib"
cp "$CAIRN" "$PACK/bin/cairn"
cp "${TESTS[@]/#/$BUILD/bin/}" "$PACK/bin/"
strip --strip-unneeded "$PACK"/bin/*
# The loader too: that machine's C library may be older.
copy_libraries_of() {
  for file in "$@"; do ldd "$file"; done |
    awk '{ for (i = 1; i <= NF; ++i) if ($i ~ /^\//) print $i }' | sort -u |
    while read -r library; do cp -L "$library" "$PACK/lib/"; done
}
copy_libraries_of "$PACK"/bin/*
# The driver's libcuda wants these, which nothing here does any more, and they must be of one glibc
# with libc: those of a machine with an older one have what this libc lacks.
for name in librt.so.1 libdl.so.2; do
  library="$(dirname "$(ldd "$CAIRN" | awk '/libc\.so\.6/ { print $3 }')")/$name"
  [[ -f "$library" ]] && cp -L "$library" "$PACK/lib/"
done
# Programs load this one by its name, so ldd does not know of it.
if [[ "$CUBLASLT" == none ]]; then
  echo "pack.sh: without cuBLASLt, which products need on that machine" >&2
else
  for library in "$CUBLASLT" "${CUBLASLT/libcublasLt/libcublas}"; do
    [[ -f "$library" ]] || continue
    cp -L "$library" "$PACK/lib/"
    copy_libraries_of "$library"
    du -Lh "$library" | awk '{ print "pack.sh: with " $2 ", " $1 }' >&2
  done
fi
cp "$MODEL" "$PACK/model.gguf"
cp "$ADAPTER" "$PACK/adapter.gguf"
if [[ -n "$TEXT" ]]; then
  cp "$TEXT" "$PACK/text.txt"
else
  command -v bible >/dev/null || fail "no program bible (package bible-kjv); say --text FILE"
  bible -f -l 9999 "Gen1:1-Rev22:21" >"$PACK/text.txt"
fi
for script in "$ROOT"/tools/gpu-check/*; do
  [[ "$script" == */pack.sh ]] || cp "$script" "$PACK/"
done
cp "$ROOT/bench/sdpa_device.py" "$PACK/"
"$CAIRN" --version >"$PACK/version.txt"

if [[ -z "$PART_SIZE" ]]; then
  mv "$PACK" "$TARGET"
  chmod 755 "$TARGET"
else
  mkdir -p "$TARGET"
  (cd "$PACK" && tar -cz bin lib version.txt ./*.sh ./*.awk ./*.py) |
    split -d -b "$PART_SIZE" - "$TARGET/programs-"
  tar -C "$PACK" -cz model.gguf adapter.gguf text.txt | split -d -b "$PART_SIZE" - "$TARGET/model-"
  count() {
    local parts=("$TARGET/$1"-*)
    echo "${#parts[@]}"
  }
  cat >"$TARGET/unpack.sh" <<UNPACK
#!/usr/bin/env bash
# unpack.sh DIRECTORY: what run.sh is in, from the parts beside this file.
set -euo pipefail
mkdir -p "\$1"
HERE="\$(cd "\$(dirname "\${BASH_SOURCE[0]}")" && pwd)"
for kind in programs:$(count programs) model:$(count model); do
  parts=("\$HERE/\${kind%:*}"-*)
  if [[ \${#parts[@]} -eq \${kind#*:} && -e "\${parts[0]}" ]]; then
    cat "\${parts[@]}" | tar -C "\$1" -xz
  elif [[ \${kind%:*} == model && ! -e "\${parts[0]}" ]]; then
    echo "unpack.sh: without the model; run.sh leaves out what needs it" >&2
  else
    echo "unpack.sh: not all \${kind#*:} parts of the \${kind%:*} are here" >&2
    exit 1
  fi
done
UNPACK
  chmod 755 "$TARGET/unpack.sh"
fi
du -sh "$TARGET" | awk '{ print "packed " $1 }' >&2
