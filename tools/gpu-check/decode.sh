# Of run.sh: a whole model's decode behind a past, read or not.
# shellcheck shell=bash disable=SC2154

# number FILE KEY: what a file of JSON says of it.
number() { sed -n "s/.*\"$2\":\([-+.e0-9]*\).*/\1/p" "$1"; }

# figures FILE: what a decode's JSON says of its speed and memory.
figures() {
  local key
  for key in past_tokens decode_tokens_per_second decode_seconds_p50 decode_seconds_p99 \
    chosen_hit_share besides_weights_bytes; do
    printf '%s %s ' "$key" "$(number "$1" "$key")"
  done
  printf '\n'
}

# Ten million tokens, which nobody reads: with landmarks of their own, and payloads that blocks
# share. The shape is that of 8B.
aliased() {
  local result="$RESULTS/bench/decode-10M-q8-aliased.json"
  cairn bench decode --json --tokens "$ALIASED_TOKENS" --aliased 64 --mode landmark --index int8 \
    ${HOST_LIMIT[@]+"${HOST_LIMIT[@]}"} >"$result" && figures "$result"
}

# plan SECONDS MOST [FILE ELAPSED]: how many tokens, MOST at most, can be read and decoded behind in
# so many seconds, and how many of these there are to read. Reckoned as docs/gpu.md does: 25 s for
# what depends on no tokens, weights foremost, a second for each 8,000 to page-lock their memory and
# to give it back, and another one to read them. Or as it went before, by FILE in ELAPSED seconds
# altogether; reading is taken to be slower by a quarter behind more. A twelfth is kept.
plan() {
  local past=("" "" "")
  [[ $# -lt 4 ]] || past=("$(number "$3" tokens)" "$(number "$3" read_tokens)"
    "$(number "$3" reading_seconds)")
  awk -v left="$1" -v most="$2" -v elapsed="${4:-0}" -v asked="${past[0]}" -v got="${past[1]}" \
    -v seconds="${past[2]}" 'BEGIN {
      left *= 11 / 12
      fixed = 25
      memory = reading = 1 / 8000
      if (asked > 0 && got > 0) {
        apart = elapsed > seconds ? elapsed - seconds : 0
        if (apart < fixed) fixed = apart
        memory = (apart - fixed) / asked
        if (memory < 1 / 16000) memory = 1 / 16000
        reading = 1.25 * seconds / got
      }
      tokens = (left - fixed) / (memory + reading)
      if (tokens > most) tokens = most
      if (tokens < 0) tokens = 0
      if (tokens > 1000) tokens -= tokens % 1000
      printf "%d %d\n", tokens, left - fixed - memory * tokens
    }'
}

# decode_behind FILE TOKENS SECONDS: behind so many tokens, or as many as are read by then.
decode_behind() {
  echo "$2 tokens, at most $3 s to read them"
  cairn bench decode --json --tokens "$2" --read-seconds "$3" \
    ${HOST_LIMIT[@]+"${HOST_LIMIT[@]}"} >"$1" && figures "$1"
}

# has_figures FILE: whether a decode came so far as to print them; it gives memory back after that.
has_figures() { [[ -n "$(number "$1" decode_tokens_per_second)" ]]; }

# A quarter of the tokens first, in two fifths of the time or 150 s, and then all of them, or as
# many as there is time left for: what the first one says is there even if the second has no end. A
# quarter that has none itself is followed by a quarter of that, with most of its time for the rest.
decode() {
  local left first tokens reading more start result="$RESULTS/bench/decode-quarter-q8.json"
  left="$(seconds_left)"
  first=$((left * 2 / 5 > 100 ? left * 2 / 5 : 100))
  ((first <= 150)) || first=150
  ((first <= left - 2)) || first=$((left - 2))
  read -r tokens reading < <(plan "$first" $((READ_TOKENS / 4)))
  if ((tokens < READ_TOKENS / 40)); then
    report decode quarter skipped "too little time is left"
    return
  fi
  start=$SECONDS
  NOTED=1 check decode quarter "$first" decode_behind "$result" "$tokens" "$reading"
  if ! has_figures "$result" && ((EXITED == 124)); then
    first=$(($(seconds_left) - 2 < 200 ? $(seconds_left) - 2 : 200))
    tokens=$((tokens / 4)) start=$SECONDS
    NOTED=1 check decode sixteenth "$first" decode_behind "$result" "$tokens" $((first / 4))
  fi
  if ! has_figures "$result"; then
    report decode all skipped "no part of it was decoded either"
    return
  fi
  left=$(($(seconds_left) - 2 < 360 ? $(seconds_left) - 2 : 360))
  read -r more reading < <(plan "$left" "$READ_TOKENS" "$result" $((SECONDS - start + 1)))
  if ((more < 3 * tokens / 2)); then
    report decode all skipped "no time is left for more than $more tokens"
    return
  fi
  NOTED=1 check decode all "$left" decode_behind "$RESULTS/bench/decode-q8.json" "$more" "$reading"
}
