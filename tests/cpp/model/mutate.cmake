# Copies the core's headers to OUT_DIR and replaces one text in one of them.
#   cmake -DCORE=dir -DOUT_DIR=dir -DHEADER=name -DFROM_FILE=f -DTO_FILE=f -P mutate.cmake
# Fails if the text is not there exactly once: then the mutant has to be adapted.
file(READ "${FROM_FILE}" from)
file(READ "${TO_FILE}" to)
file(READ "${CORE}/${HEADER}" text)

string(FIND "${text}" "${from}" first)
string(FIND "${text}" "${from}" last REVERSE)
if(first EQUAL -1)
  message(FATAL_ERROR "mutant: ${HEADER} does not contain:\n${from}")
endif()
if(NOT first EQUAL last)
  message(FATAL_ERROR "mutant: ${HEADER} contains more than once:\n${from}")
endif()
string(REPLACE "${from}" "${to}" text "${text}")

file(GLOB headers "${CORE}/*.hpp")
file(COPY ${headers} DESTINATION "${OUT_DIR}")
file(WRITE "${OUT_DIR}/${HEADER}" "${text}")
