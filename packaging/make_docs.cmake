# Writes what the program itself says into OUTPUT: man/*.1 (with GZIP: *.1.gz), and completion
# scripts as shells want them named.
# cmake -DPROGRAM=... -DOUTPUT=... -DCHANGELOG=... [-DGZIP=...] -P make_docs.cmake
file(REMOVE_RECURSE ${OUTPUT})
file(MAKE_DIRECTORY ${OUTPUT}/doc)

function(cairn_run)
  cmake_parse_arguments(run "" "TO" "" ${ARGN})
  set(output OUTPUT_QUIET)
  if(run_TO)
    set(output OUTPUT_FILE ${run_TO})
  endif()
  execute_process(COMMAND ${run_UNPARSED_ARGUMENTS} ${output} RESULT_VARIABLE failed
    ERROR_VARIABLE words)
  if(failed)
    message(FATAL_ERROR "${run_UNPARSED_ARGUMENTS}: ${words}")
  endif()
endfunction()

set(ENV{CAIRN_CONFIG} /dev/null)  # no settings of whoever builds
cairn_run(${PROGRAM} man ${OUTPUT}/man)
cairn_run(${PROGRAM} completion bash TO ${OUTPUT}/cairn)
cairn_run(${PROGRAM} completion zsh TO ${OUTPUT}/_cairn)
cairn_run(${PROGRAM} completion fish TO ${OUTPUT}/cairn.fish)
configure_file(${CHANGELOG} ${OUTPUT}/doc/changelog COPYONLY)
if(GZIP)
  file(GLOB pages ${OUTPUT}/man/*.1)
  cairn_run(${GZIP} -9n ${pages} ${OUTPUT}/doc/changelog)
endif()
