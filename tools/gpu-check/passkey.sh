# Of run.sh: pass keys in long texts.
# shellcheck shell=bash disable=SC2154

# tokens_of LENGTH: as `cairn eval` takes lengths, e.g. 32k or 1M.
tokens_of() {
  case "$1" in
    *k) echo $((${1%k} * 1024)) ;;
    *M) echo $((${1%M} * 1048576)) ;;
    *) echo "$1" ;;
  esac
}

# passkey LENGTH TEXTS FILE: what was asked and answered is in FILE, and how much was right is said.
passkey() {
  cairn eval passkey --json --quiet --model "$HERE/model.gguf" --adapter "$HERE/adapter.gguf" \
    --text "$HERE/text.txt" --lengths "$1" --samples "$2" --facts-per-text 5 --device cuda:0 \
    >"$3" || return
  echo "$(grep -o '"right": *true' "$3" | wc -l) of $(grep -o '"right":' "$3" | wc -l) right"
}

# Shorter texts first, and longer ones if there is time for them, by how long these took for a token
# and a fifth more.
passkeys() {
  local length tokens texts start spent=0 read=0 needed
  for length in ${PASSKEY_LENGTHS//,/ }; do
    tokens="$(tokens_of "$length")"
    texts=$((tokens <= 32768 ? 4 : tokens <= 131072 ? 2 : 1))
    needed=$((read == 0 ? 0 : tokens * texts * spent * 6 / (5 * read)))
    if ((needed > $(seconds_left))); then
      report passkey "$length" skipped "it would take $needed s, more than are left"
      continue
    fi
    start=$SECONDS
    NOTED=1 check passkey "$length" 300 passkey "$length" "$texts" \
      "$RESULTS/bench/passkey-$(printf %08d "$tokens").json"
    [[ $REPORTED == passed ]] || continue
    spent=$((SECONDS - start + 1))
    read=$((tokens * texts))
  done
}
