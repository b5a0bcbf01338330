#!/usr/bin/env bash
# Shows cairn at work: a small public model reads a text of more than 130,000 tokens while its past
# lives mostly on disk, then answers questions about three facts far outside any window: once with
# landmarks, and once as the unmodified model, side by side.
#
#   tools/demo.sh           everything; a second run finds the text read and only asks
#   CAIRN_DEMO_SEED=7 tools/demo.sh    other pass keys
set -euo pipefail
# shellcheck source=tools/setup.sh
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

SEED="${CAIRN_DEMO_SEED:-1}"
TEXT_BYTES="${CAIRN_DEMO_BYTES:-500000}" # about 137,000 tokens
HOST_MEMORY=256MiB
DEMO="$CAIRN_ROOT/.cache/demo"
TEXT="$DEMO/$TEXT_BYTES-$SEED"
STORE="$DEMO/store"
SESSION="demo-$TEXT_BYTES-$SEED"

[[ "$SEED" =~ ^[0-9]+$ && "$TEXT_BYTES" =~ ^[0-9]+$ ]] ||
  fail "CAIRN_DEMO_SEED and CAIRN_DEMO_BYTES are numbers"

install_packages
fetch_model
build cairn

if [[ ! -s "$TEXT/facts.json" ]]; then
  say "making the text: the King James Bible with three planted keys"
  command -v bible >/dev/null ||
    fail "the program 'bible' is missing; install the packages bible-kjv and bible-kjv-text"
  rm -rf "$TEXT.new"
  mkdir -p "$TEXT.new"
  bible -f -l 9999 "Gen1:1-Rev22:21" >"$TEXT.new/bible.txt"
  python3 "$CAIRN_ROOT/tools/demo_text.py" plant --bytes "$TEXT_BYTES" --seed "$SEED" \
    --directory "$TEXT.new" <"$TEXT.new/bible.txt"
  rm -rf "$TEXT" "$TEXT.new/bible.txt"
  mv "$TEXT.new" "$TEXT"
fi

# read_and_ask NAME OPTION...: one session of the text, and its answers in $TEXT/NAME.json.
read_and_ask() {
  local name="$1"
  shift
  local session="$SESSION-$name"
  say "reading $(wc -c <"$TEXT/text.txt") bytes, $name, with $HOST_MEMORY of memory for blocks" \
    "(Ctrl-C is safe: run this again and it goes on)"
  "$CAIRN_BINARY" ingest --store "$STORE" --session "$session" --model "$CAIRN_MODEL" "$@" \
    --host-memory "$HOST_MEMORY" "$TEXT/text.txt" ||
    fail "the text was not read to its end; the line above says why. After an interruption run" \
      "this again; to start over remove $DEMO"
  say "asking $(wc -l <"$TEXT/questions.txt") questions, $name"
  "$CAIRN_BINARY" ask --store "$STORE" --session "$session" --host-memory "$HOST_MEMORY" \
    --model "$CAIRN_MODEL" "$@" --questions "$TEXT/questions.txt" --max-tokens 48 --json --quiet \
    >"$TEXT/$name.json" ||
    fail "the questions were not answered; the line above says why"
}

read_and_ask landmarks --adapter "$CAIRN_ADAPTER"
read_and_ask unmodified

printf '\n'
python3 "$CAIRN_ROOT/tools/demo_text.py" compare --directory "$TEXT" landmarks unmodified
cat <<EOF

Both sessions stay on disk. Go on with one (/why in a chat shows the blocks an answer used):
  cd $CAIRN_ROOT
  build/bin/cairn ask --store .cache/demo/store --session $SESSION-landmarks "YOUR QUESTION"
  build/bin/cairn chat --store .cache/demo/store --session $SESSION-landmarks
  build/bin/cairn sessions show $SESSION-landmarks --store .cache/demo/store
EOF
