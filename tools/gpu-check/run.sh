#!/usr/bin/env bash
# Checks and measures cairn on this machine's GPU, from the directory that pack.sh made.
#
#   run.sh RESULTS [--only STEP[,STEP...]] [--minutes N]
#
# Steps: tests, sanitizer, parity, decode, aliased, bench, counters, passkey. RESULTS gets
# summary.md, to be read, and a file for each step; bench/*.json is what `cairn bench` says,
# counters/*.csv what Nsight Compute counted in hot kernels. Takes 8 minutes at most, or N: steps
# for which no time is left are skipped, and say so. Exit code 0: nothing failed; 1: something did;
# 77: there is no GPU, and nothing was checked. CAIRN_CHECK_ALIASED_TOKENS of the environment
# shortens the past of `aliased`, for tests.
set -uo pipefail
set -m # each step in a process group, to be ended as one

HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
ALL_STEPS="tests,sanitizer,parity,decode,aliased,bench,counters,passkey"
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

# The packed loader and libraries, and of this machine its driver, and what was not packed of CUDA.
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

# check STEP NAME COMMAND...: runs it within the time that is left; its output is kept. With NOTED
# the last line of that is in the summary too.
check() {
  local step="$1" name="$2" start=$SECONDS code said said_in="$RESULTS/$1-$2.txt"
  shift 2
  if (($(seconds_left) < 5)); then
    report "$step" "$name" skipped "no time left"
    return
  fi
  ("$@") >"$said_in" 2>&1 &
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
  said="$(tail -n 1 "$said_in")"
  case $code in
    0) report "$step" "$name" passed "$((SECONDS - start)) s${NOTED:+; $said}" ;;
    77) report "$step" "$name" skipped "$said" ;;
    *) report "$step" "$name" failed "exit code $code: $said" ;;
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
  for test in gpu_device_test gpu_kernels_test gpu_index_test gpu_session_test gpu_model_test; do
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

# Logits of the model behind some hundred tokens, beside those of the CPU; how far they are off.
logits() {
  local log="$RESULTS/parity-logits.log" code
  CAIRN_MODEL="$HERE/model.gguf" CAIRN_ADAPTER="$HERE/adapter.gguf" CAIRN_TEXT="$HERE/text.txt" \
    packed gpu_model_test --gtest_brief=1 --gtest_filter='*RealModel*' >"$log" 2>&1
  code=$?
  cat "$log"
  if ((code == 0)) && ! grep -q '^logits ' "$log"; then
    echo "nothing was compared"
    return 77
  fi
  ((code == 77)) || sed -n 's/^logits //p' "$log" | paste -sd ';'
  return "$code"
}

if wanted parity; then
  NOTED=1 check parity logits logits
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
  for key in decode_tokens_per_second decode_seconds_p50 decode_seconds_p99 chosen_hit_share \
    besides_weights_bytes; do
    printf '%s %s ' "$key" "$(sed -n "s/.*\"$key\":\([-+.e0-9]*\).*/\1/p" "$1")"
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
  NOTED=1 check decode 1M-q8 decode
fi

if wanted aliased; then
  mkdir -p "$RESULTS/bench"
  NOTED=1 check aliased 10M-q8 aliased
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

# counters NAME KERNELS COMMAND...: what Nsight Compute says of the first launches of some kernels
# (A|B|…) while cairn runs the command: a line of CSV for each launch, and the last one of each
# kernel is printed.
COUNTERS=(gpu__time_duration.sum
  dram__throughput.avg.pct_of_peak_sustained_elapsed
  sm__throughput.avg.pct_of_peak_sustained_elapsed
  sm__warps_active.avg.pct_of_peak_sustained_active
  launch__registers_per_thread)
counters() {
  local name="$1" kernels="$2" log="$RESULTS/counters/$1.log" metrics code
  shift 2
  metrics="$(IFS=, && echo "${COUNTERS[*]}")"
  ncu --csv --page raw --print-kernel-base function --print-units base --target-processes all \
    --clock-control none --kernel-name "regex:$kernels" --launch-count 100 --log-file "$log" \
    --metrics "$metrics" "${LOADER[0]}" --library-path "$HERE/lib" "$HERE/bin/cairn" "$@"
  code=$?
  if grep -q ERR_NVGPUCTRPERM "$log" 2>/dev/null; then
    echo "who runs this may not read the GPU's counters (ERR_NVGPUCTRPERM)"
    return 77
  fi
  ((code == 0)) || return "$code"
  # Every field is in quotes; numbers may have commas.
  awk -F '","' -v csv="$RESULTS/counters/$name.csv" -v kernels="$kernels" -v metrics="$metrics" '
    function field(name) {
      if (name in at) return $at[name]
      print "ncu has no column " name
      exit failed = 1
    }
    /^"ID"/ {
      gsub(/^"|"$/, "")
      for (i = 1; i <= NF; ++i) at[$i] = i
      print "kernel,grid,block,nanoseconds,dram_percent,sm_percent,occupancy_percent,registers" >csv
    }
    /^"[0-9]+"/ {
      gsub(/^"|"$/, "")
      kernel = field("Kernel Name")
      gsub(/[<(].*$|^.*::/, "", kernel)
      line = kernel ",\"" field("Grid Size") "\",\"" field("Block Size") "\""
      split(metrics, names, ",")
      for (i = 1; i in names; ++i) {
        number[i] = field(names[i])
        gsub(/,/, "", number[i])
        line = line "," number[i]
      }
      print line >csv
      last[kernel] = sprintf("%s DRAM %.0f %%, SM %.0f %%, occupancy %.0f %%, %d registers",
                             kernel, number[2], number[3], number[4], number[5])
    }
    END {
      if (failed) exit 1
      count = split(kernels, wanted, "|")
      for (i = 1; i <= count; ++i) {
        if (!(wanted[i] in last)) { print "no launch of " wanted[i] " was counted"; exit 1 }
        text = text (i == 1 ? "" : "; ") last[wanted[i]]
      }
      print text
    }' "$log"
}

if wanted counters; then
  mkdir -p "$RESULTS/counters"
  for run in device-f16 device-q8 prefill-f16 prefill-q8; do
    command=(bench device --layers 2 --rounds 1 --kv-type "${run##*-}")
    kernels="DecodeKernel|ScanKernel|ScoreCodesKernel|PartKernel|ShareKernel|ListKernel"
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
    NOTED=1 check counters "$run" counters "$run" "$kernels" "${command[@]}"
  done
fi

if wanted passkey; then
  check passkey 32k cairn eval passkey --model "$HERE/model.gguf" --adapter "$HERE/adapter.gguf" \
    --text "$HERE/text.txt" --lengths 32k --samples 4 --facts-per-text 5 --device cuda:0
fi

exit "$FAILED"
