# Of run.sh: tests of googletest, in one process if all goes well.
# shellcheck shell=bash disable=SC2154

MOST_PROCESSES=8

# sift ALL SAID: of the tests in ALL, a name a line in the order in which they run, and what they
# said: "passed N"; "failed NAME" for each of the first suite in which one did not pass; "at NAME",
# the test of that suite behind which nothing was said; "out N", how many of the suite did not run
# for that; and "rest NAME" for those of later suites that did not pass. These may have failed by
# what the first one did to the device, and are worth another process.
sift() {
  awk '
    function suite(test) { sub(/\.[^.]*$/, "", test); return test }
    function name(line) { sub(/^\[[^]]*\] /, "", line); sub(/[, ].*$/, "", line); return line }
    FNR == NR { all[++count] = $1; next }
    /^\[ RUN      \] / { at = name($0) }
    /^\[       OK \] |^\[  SKIPPED \] |^\[  FAILED  \] [^ ]*\.[^ ]*[, ]/ {
      if (at == "" || name($0) != at) next
      came[at] = /FAILED/ ? "failed" : "passed"
      at = ""
    }
    END {
      if (at != "") came[at] = "at"
      for (i = 1; i <= count; ++i) {
        test = all[i]
        if (came[test] == "passed") ++passed
        else if (first == "" && came[test] != "") first = suite(test)
        if (came[test] == "passed" || first == "") continue
        if (suite(test) != first) print "rest " test
        else if (came[test] == "") ++out
        else print came[test] " " test
      }
      print "passed " passed + 0
      print "out " out + 0
    }' "$1" "$2"
}

# listed COMMAND...: the tests that it would run, a name a line.
listed() {
  within 10 "$SCRATCH/list" "$@" --gtest_list_tests 2>/dev/null
  awk '
    /^[^ ]/ { suite = $1 ~ /\.$/ ? $1 : "" }
    /^  / && suite != "" { print suite $1 }' "$SCRATCH/list"
}

# few TEXT: names, one a line, of which three are said.
few() {
  sed '/^$/d' <<<"$1" | awk '
    NR <= 3 { printf "%s%s", (NR > 1 ? ", " : ""), $1 }
    END { if (NR > 3) printf " and %d more", NR - 3 }'
}

# gtests STEP NAME LIMIT COMMAND...: runs tests for so many seconds at most, all together, and no
# longer than is left. A test that ends its process, or of which nothing is heard for STALL seconds,
# costs the rest of its suite; the later suites go on in another process, and so do failed tests of
# later suites than the first that has one. With FILTER only those tests.
gtests() {
  local step="$1" name="$2" limit="${CAIRN_CHECK_LIMIT:-$3}" start=$SECONDS left code room
  local log="$RESULTS/$1-$2.txt" part="$SCRATCH/part" all="$SCRATCH/all" filter="${FILTER:-*}"
  local processes=0 passed=0 untried=0 failed="" ended="" note="" sifted rest="" at how
  shift 3
  left="$(seconds_left)"
  if ((left < 5)); then
    report "$step" "$name" skipped "no time left"
    return
  fi
  ((limit < left)) || limit=$left
  : >"$log"
  while :; do
    room=$((start + limit - SECONDS))
    STALL="${STALL:-25}" within "$room" "$part" "$@" --gtest_filter="$filter" 2>/dev/null
    code=$?
    cat "$part" >>"$log"
    if ((++processes == 1 && (code == 0 || code == 77))); then
      note="$(sed -n 's/^\[  PASSED  \] \([0-9]* tests*\)\.$/\1, /p' "$part")"
      [[ $code == 0 ]] && report "$step" "$name" passed "$note$((SECONDS - start)) s"
      [[ $code == 0 ]] || report "$step" "$name" skipped "$(tail -n 1 "$part" | tr '|' '/')"
      archive
      return
    fi
    how="exit code $code"
    ((code != 124)) || how="no end"
    if ! grep -q '^\[ RUN      \]' "$part"; then
      ended+="${ended:+, }$how, at last: $(grep . "$part" | tail -n 1 | tr '|' '/')"
      break
    fi
    if ((processes == 1)); then
      listed "$@" --gtest_filter="$filter" >"$all"
      [[ -s "$all" ]] || sed -n 's/^\[ RUN      \] //p' "$part" >"$all"
    fi
    sifted="$(sift "$all" "$part")"
    passed=$((passed + $(sed -n 's/^passed //p' <<<"$sifted")))
    untried=$((untried + $(sed -n 's/^out //p' <<<"$sifted")))
    failed+="$(sed -n 's/^failed //p' <<<"$sifted")"$'\n'
    at="$(sed -n 's/^at //p' <<<"$sifted")"
    rest="$(sed -n 's/^rest //p' <<<"$sifted")"
    if [[ -n "$at" ]]; then
      ended+="${ended:+, }$how in $at"
    elif ! grep -q '^failed' <<<"$sifted" && ((code != 0)); then
      ended+="${ended:+, }$how, at last: $(grep . "$part" | tail -n 1 | tr '|' '/')"
      break
    fi
    room=$((start + limit - SECONDS))
    [[ -n "$rest" ]] && ((processes < MOST_PROCESSES && room >= 2)) || break
    echo "$rest" >"$all"
    filter="$(paste -sd : "$all")"
  done
  untried=$((untried + $(grep -c . <<<"$rest")))
  failed="$(few "$failed")"
  note="${failed:+failed: $failed; }${ended:+$ended; }$passed passed"
  ((untried == 0)) || note+=", $untried not tried"
  ((processes == 1)) || note+=", in $processes processes"
  report "$step" "$name" failed "$note, $((SECONDS - start)) s"
  archive
}

# programs STEP SECONDS EACH PROGRAM...: programs of tests, for so many seconds together.
programs() {
  local step="$1" end=$((SECONDS + $2)) each="$3" program room
  shift 3
  for program in "$@"; do
    room=$((end - SECONDS))
    if ((room < 2)); then
      report "$step" "$program" skipped "others took the time of this step"
      continue
    fi
    gtests "$step" "$program" $((room < each ? room : each)) packed "$program"
  done
}
