# Of run.sh: a model on the GPU beside the same on the CPU.
# shellcheck shell=bash disable=SC2154

# The same greedy tokens as the CPU, behind a text that was read by the CPU. How many words are: by
# logits that nearly tie the two may part, and `logits` says how far apart they are.
same_answer() {
  local mode="$1" question="$2" expected found
  local store=("--store" "$SCRATCH/$mode" "--session" s)
  local ask=("--max-tokens" 24 "--json" "$question")
  expected="$(cairn ask "${store[@]}" "${ask[@]}" | sed 's/.*"answer":"\([^"]*\)".*/\1/')"
  found="$(cairn ask "${store[@]}" --device cuda:0 "${ask[@]}" |
    sed 's/.*"answer":"\([^"]*\)".*/\1/')"
  printf 'CPU: %s\nGPU: %s\n' "$expected" "$found"
  printf '%s\n%s\n' "$expected" "$found" | awk '
    { for (i = 1; i <= NF; ++i) word[NR, i] = $i; count[NR] = NF }
    END {
      while (same < count[1] && word[1, same + 1] == word[2, same + 1]) ++same
      printf "the first %d of %d words are the same\n", same, count[1]
      exit !(count[1] > 0 && same == count[1] && count[2] == count[1])
    }'
}

# Logits of the model behind some hundred tokens, beside those of the CPU; how far they are off.
logits() {
  local log="$RESULTS/parity-logits.log" code
  CAIRN_MODEL="$HERE/model.gguf" CAIRN_ADAPTER="$HERE/adapter.gguf" CAIRN_TEXT="$HERE/text.txt" \
    packed gpu_model_test --gtest_filter='*RealModel*' 2>&1 | tee "$log"
  code=${PIPESTATUS[0]}
  if ((code == 0)) && ! grep -q '^logits ' "$log"; then
    echo "nothing was compared"
    return 77
  fi
  ((code == 77)) || sed -n 's/^logits //p' "$log" | paste -sd ';'
  return "$code"
}
