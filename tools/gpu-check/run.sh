#!/usr/bin/env bash
# Checks and measures cairn on this machine's GPU, from the directory that pack.sh made.
#
#   run.sh RESULTS [--only STEP[,STEP...]] [--minutes N]
#
# Steps: tests, sanitizer, parity, decode, aliased, bench, passkey. RESULTS gets summary.md, to be
# read, and a file for each step; bench/*.json is what `cairn bench` says. Takes 8 minutes at most,
# or N: steps for which no time is left are skipped, and say so. Exit code 0: nothing failed; 1:
# something did; 77: there is no GPU, and nothing was checked. CAIRN_CHECK_ALIASED_TOKENS of the
# environment shortens the past of `aliased`, for tests.
set -uo pipefail
set -m # each step in a process group, to be ended as one

HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
ALL_STEPS="tests,sanitizer,parity,decode,aliased,bench,passkey"
STEPS="$ALL_STEPS"
MINUTES=8
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
    *) fail "no option $1" ;;
  esac
  shift 2
done
for step in ${STEPS//,/ }; do
  [[ ",$ALL_STEPS," == *",$step,"* ]] || fail "no step $step"
done
mkdir -p "$RESULTS" || fail "cannot make $RESULTS"
RESULTS="$(cd "$RESULTS" && pwd)"
SCRATCH="$(mktemp -d)"
trap 'rm -rf "$SCRATCH"' EXIT
FAILED=0
export CAIRN_CONFIG="${CAIRN_CONFIG:-/dev/null}"

# The packed loader and libraries, and of this machine its driver, and cuBLAS if that was not packed.
LOADER=("$HERE"/lib/ld-linux-*.so.*)
LIBRARIES="$HERE/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
LIBRARIES+=":/usr/local/nvidia/lib64:/usr/local/cuda/lib64"
packed() { "${LOADER[0]}" --library-path "$LIBRARIES" "$HERE/bin/$1" "${@:2}"; }
cairn() { packed cairn "$@"; }
seconds_left() { echo $((MINUTES * 60 - SECONDS)); }
wanted() { [[ ",$STEPS," == *",$1,"* ]]; }

# report STEP WHAT STATUS [NOTE]: a line of the summary.
report() {
  printf '| %s | %s | %s | %s |\n' "$1" "$2" "$3" "${4:-}" >>"$RESULTS/summary.md"
  printf '%-10s %-28s %s %s\n' "$1" "$2" "$3" "${4:-}" >&2
  [[ "$3" != failed ]] || FAILED=1
}

# check STEP NAME COMMAND...: runs it within the time that is left; its output is kept, and what it
# says after "figures:" is in the summary.
check() {
  local step="$1" name="$2" start=$SECONDS code
  shift 2
  if (($(seconds_left) < 5)); then
    report "$step" "$name" skipped "no time left"
    return
  fi
  ("$@") >"$RESULTS/$step-$name.txt" 2>&1 &
  local job=$!
  while kill -0 "$job" 2>/dev/null; do
    sleep 0.2
    if (($(seconds_left) <= 0)); then
      kill -- "-$job"
      break
    fi
  done
  wait "$job" 2>/dev/null
  code=$?
  case $code in
    0) report "$step" "$name" passed \
      "$((SECONDS - start)) s$(sed -n 's/^figures:/;/p' "$RESULTS/$step-$name.txt")" ;;
    77) report "$step" "$name" skipped "$(tail -n 1 "$RESULTS/$step-$name.txt")" ;;
    *) report "$step" "$name" failed "exit code $code: $(tail -n 1 "$RESULTS/$step-$name.txt")" ;;
  esac
}

{
  echo "# cairn on a GPU"
  echo
  echo "- date: $(date -u +%Y-%m-%d)"
  echo "- program: $(head -n 2 "$HERE/version.txt" | tr -s ' \n' ' ')"
} >"$RESULTS/summary.md"
GPU="$(cairn doctor 2>&1 | sed -n 's/^.*GPU  *\(cuda:0, [^;]*\).*$/\1/p')"
DRIVER="$(nvidia-smi --query-gpu=driver_version --format=csv,noheader 2>/dev/null | head -n 1)"
if [[ -z "$GPU" ]]; then
  echo "- no GPU: nothing was checked" >>"$RESULTS/summary.md"
  echo "run.sh: skipped: no GPU here" >&2
  exit 77
fi
{
  echo "- GPU: $GPU, driver ${DRIVER:-unknown}"
  echo
  echo "| step | what | status | |"
  echo "|---|---|---|---|"
} >>"$RESULTS/summary.md"

if wanted tests; then
  for test in gpu_device_test gpu_kernels_test gpu_index_test gpu_session_test; do
    check tests "$test" packed "$test" --gtest_brief=1
  done
  # It loads this machine's cuBLAS, if there is one: that is too large to be packed.
  if [[ -e "$HERE/bin/gpu_faiss_test" ]]; then
    check tests gpu_faiss_test packed gpu_faiss_test --gtest_brief=1
  fi
fi

if wanted sanitizer; then
  for tool in memcheck racecheck synccheck; do
    if ! command -v compute-sanitizer >/dev/null; then
      report sanitizer "$tool" skipped "no compute-sanitizer on this machine"
      continue
    fi
    check sanitizer "$tool" env CAIRN_TEST_EXACT_MEMORY=1 compute-sanitizer --tool "$tool" \
      --error-exitcode 1 --target-processes all "${LOADER[0]}" --library-path "$LIBRARIES" \
      "$HERE/bin/gpu_kernels_test" --gtest_brief=1 \
      --gtest_filter='Shared/*:Cases/*:CudaFold*:CudaTransformer*:CudaGreedy*'
  done
fi

# The same greedy tokens as the CPU, behind a text that was read by the CPU.
same_answer() {
  local mode="$1" question="$2" expected found
  local store=("--store" "$SCRATCH/$mode" "--session" s)
  local ask=("--max-tokens" 24 "--json" "$question")
  expected="$(cairn ask "${store[@]}" "${ask[@]}" | sed 's/.*"answer":"\([^"]*\)".*/\1/')"
  found="$(cairn ask "${store[@]}" --device cuda:0 "${ask[@]}" |
    sed 's/.*"answer":"\([^"]*\)".*/\1/')"
  printf 'CPU: %s\nGPU: %s\n' "$expected" "$found"
  [[ -n "$expected" && "$expected" == "$found" ]]
}

if wanted parity; then
  for mode in landmark unmodified; do
    adapter=()
    [[ $mode == unmodified ]] || adapter=(--adapter "$HERE/adapter.gguf")
    check parity "$mode-reading" cairn ingest --store "$SCRATCH/$mode" --session s \
      --model "$HERE/model.gguf" ${adapter[@]+"${adapter[@]}"} --tokens 16000 --quiet \
      "$HERE/text.txt"
    check parity "$mode-answer" same_answer "$mode" "What happened in the beginning?"
  done
fi

# figures FILE: what a decode's JSON says of its speed and memory.
figures() {
  local key
  printf 'figures:'
  for key in decode_tokens_per_second decode_seconds_p50 decode_seconds_p99 chosen_hit_share \
    besides_weights_bytes; do
    printf ' %s %s' "$key" "$(sed -n "s/.*\"$key\":\([-+.e0-9]*\).*/\1/p" "$1")"
  done
  printf '\n'
}

# The shape is that of 8B. A million tokens are read in half of the time that is left, or fewer, as
# the result says then (docs/gpu.md reckons how long it should take).
decode() {
  cairn bench decode --json --read-seconds $(($(seconds_left) / 2)) \
    >"$RESULTS/bench/decode-1M-q8.json" && figures "$RESULTS/bench/decode-1M-q8.json"
}

# Ten million, which nobody reads: with landmarks of their own, and payloads that blocks share.
aliased() {
  cairn bench decode --json --tokens "$ALIASED_TOKENS" --aliased 64 --mode landmark --index int8 \
    >"$RESULTS/bench/decode-10M-q8-aliased.json" &&
    figures "$RESULTS/bench/decode-10M-q8-aliased.json"
}

if wanted decode; then
  mkdir -p "$RESULTS/bench"
  check decode 1M-q8 decode
fi

if wanted aliased; then
  mkdir -p "$RESULTS/bench"
  check aliased 10M-q8 aliased
fi

if wanted bench; then
  mkdir -p "$RESULTS/bench"
  bench() {
    local name="$1"
    shift
    cairn bench device --json "$@" >"$RESULTS/bench/$name.json"
  }
  check bench 1M-f16 bench 1M-f16
  check bench 1M-q8 bench 1M-q8 --kv-type q8
  check bench ladder cairn bench ladder --store "$SCRATCH/ladder" --device cuda:0 --no-peers \
    --block-size 16KiB --html "$RESULTS/bench/ladder.html" --google-benchmark \
    "$RESULTS/bench/ladder.json"
  check bench 10M-q8 bench 10M-q8 --kv-type q8 --tokens 10000000
fi

if wanted passkey; then
  check passkey 32k cairn eval passkey --model "$HERE/model.gguf" --adapter "$HERE/adapter.gguf" \
    --text "$HERE/text.txt" --lengths 32k --samples 4 --facts-per-text 5 --device cuda:0
fi

exit "$FAILED"
