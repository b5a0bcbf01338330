# Of run.sh: runs one check after the other, each within its limit, and reports what came of it.
# shellcheck shell=bash disable=SC2154

# What there is of the summary: the machine, figures and their marks, and what came of each check.
summarise() {
  local files=("$RESULTS"/bench/*.json)
  [[ -e "${files[0]}" ]] || files=(/dev/null)
  {
    cat "$SCRATCH/head"
    echo
    awk -v steps="$STEPS" -f "$HERE/figures.awk" "${files[@]}"
    echo
    echo "| step | what | status | |"
    echo "|---|---|---|---|"
    cat "$SCRATCH/rows"
  } >"$SCRATCH/summary" && cp "$SCRATCH/summary" "$RESULTS/summary.md"
}

# report STEP WHAT STATUS [NOTE]: a line of the summary. REPORTED is the last status.
report() {
  REPORTED="$3"
  printf '| %s | %s | %s | %s |\n' "$1" "$2" "$3" "${4:-}" >>"$SCRATCH/rows"
  summarise
  printf '%-10s %-28s %s %s\n' "$1" "$2" "$3" "${4:-}" >&2
  [[ "$3" != failed ]] || FAILED=1
}

# within SECONDS FILE COMMAND...: what it says is in FILE. Ends it, and all that it started, when
# these are over: exit code 124. So too if it says nothing for STALL seconds, where that is set.
within() {
  local end=$((SECONDS + $1)) said_in="$2" code stopped=0 size=0 now heard=$SECONDS
  shift 2
  ("$@") >"$said_in" 2>&1 &
  JOB=$!
  while kill -0 "$JOB" 2>/dev/null; do
    if [[ -n "${STALL:-}" ]] && ((stopped == 0)); then
      now="$(wc -c <"$said_in")"
      ((now == size)) || heard=$SECONDS
      size=$now
      ((SECONDS < heard + STALL && SECONDS < end)) || end=$SECONDS
    fi
    if ((SECONDS >= end && stopped == 0)); then
      kill -- "-$JOB"
      stopped=1
    elif ((SECONDS >= end + 3)); then
      kill -KILL -- "-$JOB"
    fi
    sleep 0.2
  done
  wait "$JOB"
  code=$?
  # Programs may outlive the shell that was told to end.
  kill -KILL -- "-$JOB" 2>/dev/null
  JOB=""
  ((stopped == 0)) || return 124
  return "$code"
}

# check STEP NAME LIMIT COMMAND...: runs it for so many seconds at most, and no longer than is left;
# its output is kept. EXITED is the exit code, 124 if it was ended. With NOTED the last line of that
# output is in the summary too; of a test that failed it is the first failure.
check() {
  local step="$1" name="$2" limit="${CAIRN_CHECK_LIMIT:-$3}" left start=$SECONDS code said
  local said_in="$RESULTS/$1-$2.txt"
  shift 3
  EXITED=77
  left="$(seconds_left)"
  if ((left < 5)); then
    report "$step" "$name" skipped "no time left"
    return
  fi
  within $((limit < left ? limit : left)) "$said_in" "$@" 2>/dev/null
  code=$?
  EXITED=$code
  said="$(tail -n 1 "$said_in" | tr '|' '/')"
  case $code in
    0) report "$step" "$name" passed "$((SECONDS - start)) s${NOTED:+; $said}" ;;
    77) report "$step" "$name" skipped "$said" ;;
    124) report "$step" "$name" failed "no end within $((SECONDS - start)) s; at last: $said" ;;
    *)
      first="$(grep -m 1 '^\[  FAILED  \]' "$said_in" | tr '|' '/')"
      report "$step" "$name" failed "exit code $code: ${first:-$said}"
      ;;
  esac
  archive
}
