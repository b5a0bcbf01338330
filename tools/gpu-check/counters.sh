# Of run.sh: what Nsight Compute counts.
# shellcheck shell=bash disable=SC2154

# counters NAME KERNELS COMMAND...: what Nsight Compute says of the first launches of some kernels
# (A|B|…) while cairn runs the command: a line of CSV for each launch, and of each kernel the one
# that used most of the memory is printed, of those too that were counted where others were not.
# Tokens are not repeated (--replays of `cairn bench device`), so that no kernel is behind the last
# launch that is counted.
COUNTERS=(gpu__time_duration.sum
  dram__throughput.avg.pct_of_peak_sustained_elapsed
  sm__throughput.avg.pct_of_peak_sustained_elapsed
  sm__warps_active.avg.pct_of_peak_sustained_active
  launch__registers_per_thread)
counters() {
  local name="$1" kernels="$2" log="$RESULTS/counters/$1.log" metrics code
  shift 2
  metrics="$(IFS=, && echo "${COUNTERS[*]}")"
  CAIRN_REPLAYS=1 ncu --csv --page raw --print-kernel-base function --print-units base \
    --target-processes all --clock-control none --kernel-name "regex:$kernels" \
    --launch-count 200 --log-file "$log" --metrics "$metrics" \
    "${LOADER[0]}" --library-path "$LIBRARIES" "$HERE/bin/cairn" "$@"
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
      if (kernel in said && number[2] + 0 <= most[kernel]) next
      most[kernel] = number[2] + 0
      said[kernel] = sprintf("%s DRAM %.0f %%, SM %.0f %%, occupancy %.0f %%, %d registers",
                             kernel, number[2], number[3], number[4], number[5])
    }
    END {
      if (failed) exit 1
      count = split(kernels, wanted, "|")
      for (i = 1; i <= count; ++i) {
        if (!(wanted[i] in said)) missing = missing " " wanted[i]
        else text = text (text == "" ? "" : "; ") said[wanted[i]]
      }
      if (missing != "") text = "no launch was counted of" missing (text == "" ? "" : "; " text)
      print text
      exit missing != ""
    }' "$log"
}
