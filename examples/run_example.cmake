# Runs an example: -DPROGRAM=... -DEXPECTED=its output; -DDIRECTORY=... for one with a store.
if(DIRECTORY)
  file(REMOVE_RECURSE ${DIRECTORY})
endif()
execute_process(COMMAND ${PROGRAM} ${DIRECTORY}
  RESULT_VARIABLE result OUTPUT_VARIABLE output OUTPUT_STRIP_TRAILING_WHITESPACE)
if(NOT result EQUAL 0 OR NOT output STREQUAL EXPECTED)
  message(FATAL_ERROR "${PROGRAM} ended with ${result} and said '${output}'")
endif()
if(DIRECTORY AND NOT EXISTS ${DIRECTORY})
  message(FATAL_ERROR "${PROGRAM} made no store")
endif()
