#!/usr/bin/env bash
# Runs the libFuzzer targets one after the other, SECONDS each (60), all or those named:
#
#   tests/fuzz/run.sh [SECONDS [NAME...]]
#
# Build them first: cmake --preset fuzz && cmake --build --preset fuzz --target fuzzers. What they
# find new is kept in build-fuzz/corpus, what breaks them in build-fuzz/crashes; the exit code is 1
# if anything does. A reproducer belongs into tests/data/fuzz/NAME once it is fixed.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
export LSAN_OPTIONS="suppressions=$PWD/tests/lsan_suppressions.txt print_suppressions=0"
seconds=${1:-60}
shift || true
names=("$@")
if [ ${#names[@]} -eq 0 ]; then
  for directory in tests/data/fuzz/*/; do names+=("$(basename "$directory")"); done
fi
failed=0
for name in "${names[@]}"; do
  mkdir -p "build-fuzz/corpus/$name" build-fuzz/crashes
  log=build-fuzz/crashes/$name.log
  echo "$name: $seconds s"
  build-fuzz/bin/fuzz_"$name" -max_total_time="$seconds" -max_len=16384 -timeout=10 \
    -rss_limit_mb=2048 -malloc_limit_mb=256 -print_final_stats=1 \
    -artifact_prefix="build-fuzz/crashes/$name-" \
    "build-fuzz/corpus/$name" "tests/data/fuzz/$name" 2>"$log"
  code=$?
  grep -E "^stat::(number_of_executed_units|peak_rss_mb)|cov: " "$log" | tail -n 3
  if [ $code -ne 0 ]; then
    failed=1
    grep -E "ERROR|SUMMARY|runtime error|internal error|written to" "$log" | head
  fi
done
exit $failed
