# Of run.sh: each figure that is asked of a GPU beside its mark, from what benches wrote as JSON.
#
#   awk -v steps=bench,aliased,decode,passkey -f figures.awk bench/*.json
#
# of the steps that are named.
# A mark is for the shape of an 8B model, and for decode behind so many tokens as it names: what was
# measured on less is shown and said not to be what was asked.

FNR == 1 {
  file = FILENAME
  gsub(/^.*\/|\.json$/, "", file)
}

{
  text = $0
  right[file] += gsub(/"right": *true/, "&", text)
  wrong[file] += gsub(/"right": *false/, "&", text)
  while (match(text, /"[a-z_0-9]+": *[-+]?[0-9][-+.eE0-9]*/)) {
    pair = substr(text, RSTART, RLENGTH)
    text = substr(text, RSTART + RLENGTH)
    key = pair
    gsub(/^"|": *[^"]*$/, "", key)
    sub(/^"[^"]*": */, "", pair)
    number[file, key] = pair + 0
  }
}

function has(file, key) { return (file, key) in number }

function of(file, key) { return has(file, key) ? number[file, key] : "" }

function over(a, b) { return a == "" || b == "" || b == 0 ? "" : a / b }

function sum(a, b) { return a == "" || b == "" ? "" : a + b }

function scaled(a, by) { return a == "" ? "" : a * by }

# Whether a file is of the shape that marks are for.
function is_8b(file) {
  return of(file, "layers") == 32 && of(file, "kv_heads") == 8 && of(file, "group") == 4 &&
         of(file, "head_dim") == 128
}

# row WHAT VALUE FORMAT RELATION MARK ASKED: a line; asked is whether it was measured as the mark
# has it. Without a relation there is no mark.
function row(what, value, format, relation, mark, asked,   shown, verdict) {
  shown = value == "" ? "" : sprintf(format, value)
  if (relation == "") verdict = value == "" ? "not measured" : ""
  else if (value == "") verdict = "not measured"
  else if (!asked) verdict = "not measured as asked"
  else verdict = (relation == "≤" ? value <= mark : value >= mark) ? "holds" : "does not hold"
  printf "| %s | %s | %s | %s |\n", what, shown,
         (relation == "" ? "" : relation " " sprintf(format, mark)), verdict
}

function scans(   scan, from) {
  scan = of("1M-q8", "coded_scan_seconds")
  from = "1M-q8-faiss"
  row("landmarks of 1M tokens searched, 8 bits", scaled(scan, 1000), "%.3f ms", "≤", 0.2,
      is_8b("1M-q8") && of("1M-q8", "tokens") >= 1000000)
  row("FAISS flat for each head, over that",
      over(of(from, "faiss_flat_seconds"), of(from, "coded_scan_seconds")), "%.1f", "≥", 10,
      is_8b(from) && of(from, "tokens") >= 1000000)
  row("FAISS in one call a layer", scaled(of(from, "faiss_search_seconds"), 1000), "%.3f ms", "≤",
      3, is_8b(from) && of(from, "tokens") >= 1000000)
}

# PyTorch's is of a layer, ours of all.
function against_dense(landmarks, key,   layers, theirs, best, ours, asked) {
  layers = of("128k-f16", "layers")
  theirs = of("sdpa-128k", "f16_seconds")
  best = of("sdpa-128k", "bf16_seconds")
  if (theirs == "" || (best != "" && best < theirs)) theirs = best
  ours = sum(of("128k-f16", key), of("128k-f16", "attend_seconds"))
  asked = is_8b("128k-f16") && of("128k-f16", "tokens") == of("sdpa-128k", "keys") &&
          of("sdpa-128k", "query_heads") == 32 && of("sdpa-128k", "kv_heads") == 8
  row("SDPA flash at 128K, over choice by " landmarks " and attention of 2 %",
      over(scaled(theirs, layers), ours), "%.1f", "≥", 25, asked)
}

function attention(   kind, file) {
  against_dense("8 bits", "coded_scan_seconds")
  against_dense("bf16", "scan_seconds")
  for (kind = 1; kind <= 2; ++kind) {
    file = kind == 1 ? "1M-f16" : "1M-q8"
    row("attention in one launch, of a copy's rate, " substr(file, 4),
        scaled(of(file, "attend_one_launch_share_of_memory"), 100), "%.1f %%", "≥", 90, 1)
    row("attention in one launch, of 4.8 TB/s, " substr(file, 4),
        scaled(of(file, "attend_one_launch_bytes_per_second"), 100 / 4.8e12), "%.1f %%", "≥", 90, 1)
    row("attention of a token, a launch a layer, " substr(file, 4),
        scaled(of(file, "attend_share_of_memory"), 100), "%.1f %%", "")
  }
  row("memory, by a copy on the device", scaled(of("1M-f16", "memory_bytes_per_second"), 1e-12),
      "%.2f TB/s", "")
}

function gathers(   kernel, batch, asked) {
  kernel = of("16KiB-blocks", "gather_share_of_copy")
  batch = of("16KiB-blocks", "batch_share_of_copy")
  if (kernel == "" || (batch != "" && batch > kernel)) kernel = batch
  asked = of("16KiB-blocks", "head_dim") * of("16KiB-blocks", "block_rows") == 4096
  row("scattered blocks of 16 KiB to the device, of a long copy", scaled(kernel, 100), "%.1f %%",
      "≥", 92, asked)
}

function read_past(   file, past, asked, behind) {
  file = has("decode-q8", "decode_tokens_per_second") ? "decode-q8" : "decode-quarter-q8"
  past = of(file, "past_tokens")
  asked = is_8b(file) && past >= 1000000
  behind = past == "" ? "1000000" : sprintf("%d", past)
  row("decode behind " behind " tokens", of(file, "decode_tokens_per_second"), "%.1f tokens/s", "≥",
      150, asked)
  row("of it p99, over p50", over(of(file, "decode_seconds_p99"), of(file, "decode_seconds_p50")),
      "%.2f", "≤", 3, asked)
  row("of it KV outside the device", scaled(of(file, "outside_share"), 100), "%.1f %%", "≥", 95,
      asked)
  row("of it chosen blocks that were there", scaled(of(file, "chosen_hit_share"), 100), "%.1f %%",
      "≥", 90, asked)
  row("of it tokens read", of(file, "read_tokens"), "%d", "≥", 1000000, is_8b(file))
  row("of it waits of the host, a token", of(file, "waits_per_token"), "%.1f", "")
}

function aliased_past(   file, past, asked, behind) {
  file = "decode-10M-q8-aliased"
  past = of(file, "past_tokens")
  asked = is_8b(file) && past >= 9999900 # it ends with a whole block
  behind = past == "" ? "10000000" : sprintf("%d", past)
  row("decode behind " behind " aliased tokens", of(file, "decode_tokens_per_second"),
      "%.1f tokens/s", "≥", 60, asked)
  row("of it the device besides weights", scaled(of(file, "besides_weights_bytes"), 1e-9),
      "%.2f GB", "≤", 16, asked)
}

function passkeys(   i, name, asked) {
  for (i = 1; i < ARGC; ++i) {
    name = ARGV[i]
    gsub(/^.*\/|\.json$/, "", name)
    asked = right[name] + wrong[name]
    if (name !~ /^passkey-/ || asked == 0) continue
    row("pass keys behind " substr(name, 9) + 0 " tokens, of " asked, right[name], "%d", "")
  }
}

END {
  print "| figure | measured | mark | |"
  print "|---|---|---|---|"
  steps = "," steps ","
  if (steps ~ /,bench,/) {
    scans()
    attention()
    gathers()
  }
  if (steps ~ /,decode,/) read_past()
  if (steps ~ /,aliased,/) aliased_past()
  if (steps ~ /,passkey,/) passkeys()
}
