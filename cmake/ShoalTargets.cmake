# shoal_library(NAME name SRCS a.cc … [DEPS lib …] [PRIVATE_DEPS lib …])
# Makes the static library shoal_<name> with the alias shoal::<name>.
function(shoal_library)
  cmake_parse_arguments(A "" "NAME" "SRCS;DEPS;PRIVATE_DEPS" ${ARGN})
  if(A_SRCS)
    add_library(shoal_${A_NAME} STATIC ${A_SRCS})
    target_include_directories(shoal_${A_NAME} PUBLIC ${CMAKE_SOURCE_DIR})
    target_link_libraries(shoal_${A_NAME} PUBLIC ${A_DEPS} PRIVATE ${A_PRIVATE_DEPS})
  else()
    add_library(shoal_${A_NAME} INTERFACE)
    target_include_directories(shoal_${A_NAME} INTERFACE ${CMAKE_SOURCE_DIR})
    target_link_libraries(shoal_${A_NAME} INTERFACE ${A_DEPS})
  endif()
  add_library(shoal::${A_NAME} ALIAS shoal_${A_NAME})
endfunction()

# Programs of a sanitizer build carry its options in themselves.
if(SHOAL_SANITIZER)
  add_library(shoal_sanitizer_options OBJECT
    ${CMAKE_SOURCE_DIR}/tests/support/sanitizer_options.cc)
  target_compile_definitions(shoal_sanitizer_options PRIVATE
    SHOAL_SUPPORT_DIR="${CMAKE_SOURCE_DIR}/tests/support")
  set(SHOAL_SANITIZER_OBJECTS $<TARGET_OBJECTS:shoal_sanitizer_options>)
endif()

# shoal_program(NAME shoal-x SRCS main.cc … DEPS …): build/<preset>/bin/shoal-x
function(shoal_program)
  cmake_parse_arguments(A "" "NAME" "SRCS;DEPS" ${ARGN})
  add_executable(${A_NAME} ${A_SRCS} ${SHOAL_SANITIZER_OBJECTS})
  target_include_directories(${A_NAME} PRIVATE ${CMAKE_SOURCE_DIR})
  target_link_libraries(${A_NAME} PRIVATE ${A_DEPS})
endfunction()

# shoal_test(NAME unit_x LABEL unit SRCS … DEPS … [PROGRAMS shoald …] [TIMEOUT s])
# One GoogleTest binary; each test in it is a ctest test. PROGRAMS are the
# programs that the test starts: they are built before it.
function(shoal_test)
  cmake_parse_arguments(A "SERIAL" "NAME;LABEL;TIMEOUT" "SRCS;DEPS;PROGRAMS" ${ARGN})
  if(NOT A_TIMEOUT)
    set(A_TIMEOUT 120)
  endif()
  if(SHOAL_SANITIZER)
    math(EXPR A_TIMEOUT "4 * ${A_TIMEOUT}")
  endif()
  add_executable(${A_NAME} ${A_SRCS} ${SHOAL_SANITIZER_OBJECTS})
  target_link_libraries(${A_NAME} PRIVATE ${A_DEPS} shoal::test_support GTest::gmock_main)
  if(A_PROGRAMS)
    add_dependencies(${A_NAME} ${A_PROGRAMS})
  endif()
  set(properties LABELS ${A_LABEL} TIMEOUT ${A_TIMEOUT})
  if(A_SERIAL)
    list(APPEND properties RUN_SERIAL TRUE)
  endif()
  include(GoogleTest)
  gtest_discover_tests(${A_NAME} DISCOVERY_MODE PRE_TEST PROPERTIES ${properties})
endfunction()

# shoal_fuzzer(NAME fuzz_x SRCS x_fuzzer.cc DEPS …): with the preset 'fuzz' a
# libFuzzer binary; otherwise a replay of the corpus tests/fuzz/corpus/<name>.
function(shoal_fuzzer)
  cmake_parse_arguments(A "" "NAME" "SRCS;DEPS" ${ARGN})
  if(SHOAL_FUZZ)
    add_executable(${A_NAME} ${A_SRCS} ${SHOAL_SANITIZER_OBJECTS})
    target_link_options(${A_NAME} PRIVATE -fsanitize=fuzzer)
  else()
    add_executable(${A_NAME} ${A_SRCS} ${CMAKE_SOURCE_DIR}/tests/fuzz/replay_main.cc
      ${SHOAL_SANITIZER_OBJECTS})
  endif()
  target_link_libraries(${A_NAME} PRIVATE ${A_DEPS})
  target_include_directories(${A_NAME} PRIVATE ${CMAKE_SOURCE_DIR})
  add_test(NAME ${A_NAME}_corpus COMMAND ${A_NAME} $<$<BOOL:${SHOAL_FUZZ}>:-runs=0>
           ${CMAKE_SOURCE_DIR}/tests/fuzz/corpus/${A_NAME}
           COMMAND_EXPAND_LISTS)  # no empty argument without libFuzzer
  set_tests_properties(${A_NAME}_corpus PROPERTIES LABELS fuzz TIMEOUT 120)
endfunction()
