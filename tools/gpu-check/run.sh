#!/usr/bin/env bash
# Checks and measures cairn on this machine's GPU, from the directory that pack.sh made.
#
#   run.sh RESULTS [--only STEP[,STEP...]] [--minutes N] [--archive FILE]
#                  [--passkey-lengths LENGTH[,LENGTH...]] [--host-memory-limit SIZE]
#
# Steps, in their order: kernels, bench, aliased, decode, tests, parity, passkey, counters,
# sanitizer, ladder: tests of kernels, then what is measured, then other tests. RESULTS gets
# summary.md, to be read, with each figure beside its mark, and a file for each check; bench/*.json
# is what `cairn bench` says, counters/*.csv what Nsight Compute counted in hot kernels. --archive:
# all of it as one .tar.gz too, written anew after each check, so that it is there if the machine is
# taken away.
#
# --host-memory-limit: what decodes may take of the host's memory where more can be had than is said
# to be available, as on virtual machines whose memory grows.
#
# Takes 8 minutes at most, or N; each check has a limit of its own, so that one which hangs does not
# cost the others, and what there is no time left for is skipped, and says so. Together the steps
# want more: decode is best had by a run of its own. Exit code 0: nothing failed; 1: something did;
# 77: there is no GPU, and nothing was checked. For tests, CAIRN_CHECK_ALIASED_TOKENS and
# CAIRN_CHECK_READ_TOKENS of the environment shorten the past of `aliased` and `decode`, and
# CAIRN_CHECK_LIMIT the limits.
set -uo pipefail
set -m # each step in a process group, to be ended as one

HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
ALL_STEPS="kernels,bench,aliased,decode,tests,parity,passkey,counters,sanitizer,ladder"
STEPS="$ALL_STEPS"
MINUTES=8
ARCHIVE=""
PASSKEY_LENGTHS="32k,128k,256k,512k,1M"
HOST_LIMIT=()
READ_TOKENS="${CAIRN_CHECK_READ_TOKENS:-1000000}"
ALIASED_TOKENS="${CAIRN_CHECK_ALIASED_TOKENS:-10000000}"

fail() {
  printf 'run.sh: %s\n' "$*" >&2
  exit 1
}

[[ $# -ge 1 && "$1" != -* ]] || fail "say into which directory results go"
RESULTS="$1"
shift
while (($# > 0)); do
  [[ $# -ge 2 ]] || fail "$1 needs a value"
  case "$1" in
    --only) STEPS="$2" ;;
    --minutes) MINUTES="$2" ;;
    --archive) ARCHIVE="$2" ;;
    --passkey-lengths) PASSKEY_LENGTHS="$2" ;;
    --host-memory-limit) HOST_LIMIT=(--host-limit "$2") ;;
    *) fail "no option $1" ;;
  esac
  shift 2
done
[[ "$MINUTES" =~ ^[1-9][0-9]*$ ]] || fail "--minutes $MINUTES: give a whole number"
[[ ",$PASSKEY_LENGTHS" =~ ^(,[1-9][0-9]*[kM]?)+$ ]] ||
  fail "--passkey-lengths $PASSKEY_LENGTHS: give lengths as 32k,1M"
for step in ${STEPS//,/ }; do
  [[ ",$ALL_STEPS," == *",$step,"* ]] || fail "no step $step"
done
mkdir -p "$RESULTS" || fail "cannot make $RESULTS"
RESULTS="$(cd "$RESULTS" && pwd)"
SCRATCH="$(mktemp -d)"
touch "$SCRATCH/rows"
JOB=""
# Nothing that was started may go on using the GPU.
finish() {
  [[ -z "$JOB" ]] || kill -KILL -- "-$JOB" 2>/dev/null
  archive
  rm -rf "$SCRATCH"
}
archive() {
  [[ -n "$ARCHIVE" ]] || return 0
  tar -C "$RESULTS" -czf "$SCRATCH/archive" . && cp "$SCRATCH/archive" "$ARCHIVE.part" &&
    mv "$ARCHIVE.part" "$ARCHIVE"
}
trap finish EXIT
trap 'exit 1' INT TERM
FAILED=0
export CAIRN_CONFIG="${CAIRN_CONFIG:-/dev/null}"

# cuBLASLt, where it was not packed: where CUDA or Python packages have it on this machine.
cublas_directory() {
  local found places
  places=(/usr/local/cuda*/lib64 /usr/local/cuda*/targets/*/lib /usr/lib/x86_64-linux-gnu)
  found="$(ls "${places[@]/%//libcublasLt.so.13}" "${places[@]/%//libcublasLt.so.12}" 2>/dev/null |
    head -n 1)"
  [[ -n "$found" ]] || found="$(timeout 20 find /usr /opt /root /home -name 'libcublasLt.so.1[23]' \
    -print -quit 2>/dev/null)"
  [[ -z "$found" ]] || dirname "$found"
}

# The packed loader and libraries, and of this machine its driver, and what was not packed of CUDA.
LOADER=("$HERE"/lib/ld-linux-*.so.*)
LIBRARIES="$HERE/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
LIBRARIES+=":/usr/local/nvidia/lib64:/usr/local/cuda/lib64"
CUBLAS="$(ls "$HERE"/lib/libcublasLt.so.* 2>/dev/null | head -n 1)"
if [[ -z "$CUBLAS" ]]; then
  CUBLAS="$(cublas_directory)"
  LIBRARIES+="${CUBLAS:+:$CUBLAS}"
fi
packed() { "${LOADER[0]}" --library-path "$LIBRARIES" "$HERE/bin/$1" "${@:2}"; }
cairn() { packed cairn "$@"; }
seconds_left() { echo $((MINUTES * 60 - SECONDS)); }
wanted() { [[ ",$STEPS," == *",$1,"* ]]; }
wanted_with_model() {
  wanted "$1" || return 1
  [[ -e "$HERE/model.gguf" ]] || {
    report "$1" "all of it" skipped "the model was not brought here"
    return 1
  }
}

source "$HERE/checks.sh"
source "$HERE/gtests.sh"
source "$HERE/parity.sh"
source "$HERE/decode.sh"
source "$HERE/passkey.sh"
source "$HERE/counters.sh"

{
  echo "# cairn on a GPU"
  echo
  echo "- date: $(date -u +%Y-%m-%d)"
  echo "- program: $(head -n 2 "$HERE/version.txt" | tr -s ' \n' ' ')"
} >"$SCRATCH/head"
GPU="$(cairn doctor 2>&1 | sed -n 's/^.*GPU  *\(cuda:0, [^;]*\).*$/\1/p')"
DRIVER="$(nvidia-smi --query-gpu=driver_version --format=csv,noheader 2>/dev/null | head -n 1)"
if [[ -z "$GPU" ]]; then
  echo "- no GPU: nothing was checked" >>"$SCRATCH/head"
  cp "$SCRATCH/head" "$RESULTS/summary.md"
  echo "run.sh: skipped: no GPU here" >&2
  exit 77
fi
{
  echo "- GPU: $GPU, driver ${DRIVER:-unknown}"
  echo "- machine: $(nproc) processors, $(awk '/^Mem(Total|Available):/ {
    what = $1 == "MemTotal:" ? "memory" : "of it free"
    printf "%s%.0f GiB %s", n++ ? ", " : "", $2 / 1048576, what
  }' /proc/meminfo), Linux $(uname -r)"
  echo "- cuBLASLt: ${CUBLAS:-not found}"
} >>"$SCRATCH/head"
mkdir -p "$RESULTS/bench"
summarise

# That kernels are right comes first, but for a minute at most: then they are measured.
if wanted kernels; then programs kernels 75 60 gpu_device_test gpu_kernels_test; fi

if wanted bench; then
  bench() {
    local name="$1"
    shift
    cairn bench device --json "$@" >"$RESULTS/bench/$name.json"
  }
  # PyTorch, of this machine's own Python and with its own libraries.
  sdpa() {
    command -v python3 >/dev/null || { echo "no python3 on this machine" && return 77; }
    python3 "$HERE/sdpa_device.py" >"$RESULTS/bench/sdpa-128k.json"
  }
  check bench 1M-q8 45 bench 1M-q8 --kv-type q8
  check bench 1M-f16 45 bench 1M-f16
  # 41 blocks of 64 are 2 % of 128K; with 64 numbers a head, a block is 16 KiB.
  check bench 128k-f16 45 bench 128k-f16 --tokens 131072 --retrieve 41
  check bench sdpa-128k 60 sdpa
  check bench 16KiB-blocks 45 bench 16KiB-blocks --tokens 131072 --layers 2 --head-dim 64
  check bench 10M-q8 45 bench 10M-q8 --kv-type q8 --tokens 10000000
  # By itself: FAISS ends the process where CUDA fails under it.
  faiss() {
    bench 1M-q8-faiss --kv-type q8 --faiss || return
    sed -n 's/.*"faiss_problem":"\([^"]*\)".*/\1/p' "$RESULTS/bench/1M-q8-faiss.json"
  }
  NOTED=1 check bench 1M-q8-faiss 45 faiss
fi

if wanted aliased; then
  NOTED=1 check aliased 10M-q8 120 aliased
fi

if wanted decode; then decode; fi

if wanted tests; then
  faiss=()
  [[ ! -e "$HERE/bin/gpu_faiss_test" ]] || faiss=(gpu_faiss_test)
  programs tests 120 40 gpu_index_test gpu_session_test gpu_model_test ${faiss[@]+"${faiss[@]}"}
fi

if wanted_with_model parity; then
  NOTED=1 check parity logits 90 logits
  for mode in landmark unmodified; do
    adapter=()
    [[ $mode == unmodified ]] || adapter=(--adapter "$HERE/adapter.gguf")
    check parity "$mode-reading" 60 cairn ingest --store "$SCRATCH/$mode" --session s \
      --model "$HERE/model.gguf" ${adapter[@]+"${adapter[@]}"} --tokens 16000 --quiet \
      "$HERE/text.txt"
    NOTED=1 check parity "$mode-answer" 60 same_answer "$mode" "What happened in the beginning?"
  done
fi

if wanted_with_model passkey; then passkeys; fi

if wanted counters; then
  mkdir -p "$RESULTS/counters"
  for run in device-f16 device-q8 prefill-f16 prefill-q8; do
    command=(bench device --layers 1 --rounds 1 --kv-type "${run##*-}")
    kernels="TensorDecodeKernel|ScanKernel|ScoreCodesKernel|PartKernel|ShareKernel|ListKernel"
    kernels+="|GatherKernel"
    if [[ $run == prefill-* ]]; then
      command=(bench decode --layers 2 --hidden 1024 --ffn 1024 --vocab 1024 --tokens 20000
        --warm-up 1 --decode 1 --kv-type "${run##*-}")
      kernels="TensorKernel"
    fi
    if ! command -v ncu >/dev/null; then
      report counters "$run" skipped "no ncu (Nsight Compute) on this machine"
      continue
    fi
    NOTED=1 check counters "$run" 60 counters "$run" "$kernels" "${command[@]}"
  done
fi

if wanted sanitizer; then
  for tool in memcheck racecheck synccheck; do
    if ! command -v compute-sanitizer >/dev/null; then
      report sanitizer "$tool" skipped "no compute-sanitizer on this machine"
      continue
    fi
    FILTER='Shared/*:Cases/*:CudaFold*:CudaTransformer*:CudaGreedy*' STALL=60 \
      gtests sanitizer "$tool" 100 env CAIRN_TEST_EXACT_MEMORY=1 compute-sanitizer --tool "$tool" \
      --error-exitcode 1 --target-processes all "${LOADER[0]}" --library-path "$LIBRARIES" \
      "$HERE/bin/gpu_kernels_test"
  done
fi

if wanted ladder; then
  check ladder all 120 cairn bench ladder --store "$SCRATCH/ladder" --device cuda:0 --no-peers \
    --block-size 16KiB --html "$RESULTS/bench/ladder.html" --google-benchmark \
    "$RESULTS/bench/ladder.json"
fi

exit "$FAILED"
