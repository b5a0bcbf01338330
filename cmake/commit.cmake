# Writes OUTPUT, a header with the commit of the tree at SOURCE and its day; "unknown" where that is
# no checkout of git. A header that says it already stays, so that nothing is compiled again.
set(commit "unknown")
set(date "")
execute_process(COMMAND git --no-optional-locks -C ${SOURCE} rev-parse --show-toplevel
  OUTPUT_VARIABLE top OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE failed ERROR_QUIET)
get_filename_component(source "${SOURCE}" REALPATH)
if(NOT failed AND top STREQUAL source)  # an unpacked archive may lie in a checkout of other things
  execute_process(COMMAND git --no-optional-locks -C ${SOURCE} rev-parse --short=12 HEAD
    OUTPUT_VARIABLE head OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE failed ERROR_QUIET)
  execute_process(COMMAND git --no-optional-locks -C ${SOURCE} show -s --format=%cs HEAD
    OUTPUT_VARIABLE date OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  execute_process(COMMAND git --no-optional-locks -C ${SOURCE} diff --quiet HEAD
    RESULT_VARIABLE changed OUTPUT_QUIET ERROR_QUIET)
  if(NOT failed)
    set(commit "${head}")
    if(changed)
      string(APPEND commit "-modified")
    endif()
  endif()
endif()
set(text "#define CAIRN_COMMIT \"${commit}\"\n#define CAIRN_COMMIT_DATE \"${date}\"\n")
set(written "")
if(EXISTS ${OUTPUT})
  file(READ ${OUTPUT} written)
endif()
if(NOT written STREQUAL text)
  file(WRITE ${OUTPUT} "${text}")
endif()
