# A libFuzzer target and its test: on the seeds, then for ORRERY_FUZZ_SECONDS. What it calls is compiled with ORRERY_FUZZED as well,
# which instruments it for coverage.
set(ORRERY_FUZZ_SECONDS 10 CACHE STRING "Seconds that each fuzz target runs as a test")
set(ORRERY_FUZZED -fsanitize=fuzzer-no-link)

# orrery_add_fuzzer(<name> SEEDS <folder> SOURCES <files> LIBRARIES <targets> LIMITS <options of libFuzzer>)
function(orrery_add_fuzzer name)
    cmake_parse_arguments(fuzz "" "SEEDS" "SOURCES;LIBRARIES;LIMITS" ${ARGN})
    add_executable(${name} ${fuzz_SOURCES})
    target_link_libraries(${name} PRIVATE ${fuzz_LIBRARIES})
    target_compile_options(${name} PRIVATE ${ORRERY_FUZZED})
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
    # New inputs go to the build folder; the seeds stay as they are.
    set(corpus ${CMAKE_CURRENT_BINARY_DIR}/corpus_${name})
    file(MAKE_DIRECTORY ${corpus})
    add_test(NAME ${name} COMMAND ${name} -seed=1 -max_total_time=${ORRERY_FUZZ_SECONDS} ${fuzz_LIMITS} ${corpus} ${fuzz_SEEDS})
endfunction()
