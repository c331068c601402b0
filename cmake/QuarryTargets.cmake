# quarry_library(NAME shard FLOOR 3 SRCS ... DEPS ...): a library and its floor. A dependency on a target of
# the same floor or a higher one is refused here, at configure time.
function(quarry_library)
  cmake_parse_arguments(ARG "" "NAME;FLOOR" "SRCS;DEPS" ${ARGN})
  set(target quarry_${ARG_NAME})
  if(ARG_SRCS)
    add_library(${target} STATIC ${ARG_SRCS})
    set(visibility PUBLIC)
    target_link_libraries(${target} PRIVATE quarry_flags)
    target_include_directories(${target} PUBLIC ${CMAKE_SOURCE_DIR})
  else()
    add_library(${target} INTERFACE)
    set(visibility INTERFACE)
    target_include_directories(${target} INTERFACE ${CMAKE_SOURCE_DIR})
  endif()
  add_library(quarry::${ARG_NAME} ALIAS ${target})
  set_target_properties(${target} PROPERTIES QUARRY_FLOOR ${ARG_FLOOR})
  quarry_check_floor(${target} ${ARG_FLOOR} ${ARG_DEPS})
  target_link_libraries(${target} ${visibility} ${ARG_DEPS})
endfunction()

function(quarry_check_floor target floor)
  foreach(dep IN LISTS ARGN)
    if(NOT dep MATCHES "^quarry::")
      continue()
    endif()
    if(NOT TARGET ${dep})
      message(FATAL_ERROR "${target} depends on ${dep}, which is not declared before it")
    endif()
    get_target_property(real ${dep} ALIASED_TARGET)
    get_target_property(dep_floor ${real} QUARRY_FLOOR)
    if(dep_floor MATCHES "^[0-9]+$" AND NOT dep_floor LESS floor)
      message(FATAL_ERROR "${target} is on floor ${floor} and may not depend on ${dep} (floor ${dep_floor})")
    endif()
  endforeach()
endfunction()

# What every executable of a sanitizer's build is linked with and run under.
function(quarry_sanitizer_support target)
  if(QUARRY_SANITIZE MATCHES "address")
    if(NOT TARGET quarry_asan_leaks)
      add_library(quarry_asan_leaks OBJECT ${CMAKE_SOURCE_DIR}/tests/support/asan/leaks.cc)
      target_link_libraries(quarry_asan_leaks PRIVATE quarry_flags)
    endif()
    target_sources(${target} PRIVATE $<TARGET_OBJECTS:quarry_asan_leaks>)
  endif()
  if(NOT QUARRY_SANITIZE MATCHES "thread")
    return()
  endif()
  if(NOT TARGET quarry_tsan_support)
    add_library(quarry_tsan_support OBJECT ${CMAKE_SOURCE_DIR}/tests/support/tsan/absl_mutex.cc
                                           ${CMAKE_SOURCE_DIR}/tests/support/tsan/options.cc)
    target_link_libraries(quarry_tsan_support PRIVATE quarry_flags absl::synchronization)
  endif()
  target_sources(${target} PRIVATE $<TARGET_OBJECTS:quarry_tsan_support>)
endfunction()

# quarry_binary(NAME quarryd SRCS ... DEPS ...): an executable; stands on the roof.
function(quarry_binary)
  cmake_parse_arguments(ARG "" "NAME" "SRCS;DEPS" ${ARGN})
  add_executable(${ARG_NAME} ${ARG_SRCS})
  quarry_sanitizer_support(${ARG_NAME})
  target_link_libraries(${ARG_NAME} PRIVATE quarry_flags ${ARG_DEPS})
endfunction()

# What nearly every test includes takes half of its compile time: compiled once, with the flags of a test binary.
# The clang preset goes without, so that a test which lacks an include of its own does not pass unseen.
function(quarry_reuse_test_headers target)
  if(NOT QUARRY_PCH)
    return()
  endif()
  if(NOT TARGET quarry_test_pch)
    add_executable(quarry_test_pch ${CMAKE_SOURCE_DIR}/cmake/test_pch.cc)
    target_link_libraries(quarry_test_pch PRIVATE quarry_flags absl::statusor absl::strings absl::time
                          GTest::gtest GTest::gmock)
    target_precompile_headers(quarry_test_pch PRIVATE
      <functional> <map> <memory> <optional> <string> <utility> <vector>
      <absl/status/statusor.h> <absl/strings/str_cat.h> <absl/time/time.h> <gmock/gmock.h> <gtest/gtest.h>)
    if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
      target_compile_options(quarry_test_pch PRIVATE -fpch-preprocess)  # Else ccache does not cache its users.
    endif()
  endif()
  target_precompile_headers(${target} REUSE_FROM quarry_test_pch)
  set_target_properties(${target} PROPERTIES PCH_WARN_INVALID OFF)  # Other flags: slower, not wrong.
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    target_compile_options(${target} PRIVATE -fpch-preprocess)
  endif()
endfunction()

# quarry_test(NAME breaker_test LABELS unit SRCS ... DEPS ... [TIMEOUT s] [PROCESSORS n] [FILTER suites]): one gtest binary and
# one ctest entry, which counts as n of the tests that run at a time. quarry_test_part makes entries of the suites it leaves out.
function(quarry_test)
  cmake_parse_arguments(ARG "" "NAME" "SRCS;DEPS" ${ARGN})
  add_executable(${ARG_NAME} ${ARG_SRCS})
  target_link_libraries(${ARG_NAME} PRIVATE quarry_flags ${ARG_DEPS} GTest::gtest GTest::gmock GTest::gtest_main)
  quarry_reuse_test_headers(${ARG_NAME})
  quarry_sanitizer_support(${ARG_NAME})
  quarry_test_part(NAME ${ARG_NAME} OF ${ARG_NAME} ${ARG_UNPARSED_ARGUMENTS})
endfunction()

# quarry_test_part(NAME long_test OF breaker_test LABELS unit FILTER LongTest.* ...): a ctest entry for some suites of a binary.
function(quarry_test_part)
  cmake_parse_arguments(ARG "" "NAME;OF;TIMEOUT;PROCESSORS;FILTER" "LABELS;ENV" ${ARGN})
  if(ARG_FILTER)
    set(filter "--gtest_filter=${ARG_FILTER}")
  endif()
  add_test(NAME ${ARG_NAME} COMMAND ${ARG_OF} ${filter})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  if(NOT ARG_PROCESSORS)
    set(ARG_PROCESSORS 1)
  endif()
  if(QUARRY_SANITIZE OR QUARRY_COVERAGE)
    math(EXPR ARG_TIMEOUT "4 * ${ARG_TIMEOUT}")  # Instrumented, a test takes several times as long.
  endif()
  # Those that take longest begin first, so that none is left alone at the end. Those that count as two begin before all: one follows
  # another in the same two places, and where single ones run two places never come free at once.
  math(EXPR cost "${ARG_TIMEOUT} + 100000 * (${ARG_PROCESSORS} - 1)")
  # A filter that no longer fits any name must not pass.
  set_tests_properties(${ARG_NAME} PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT ${ARG_TIMEOUT} COST ${cost}
                       PROCESSORS ${ARG_PROCESSORS} ENVIRONMENT "${ARG_ENV}" FAIL_REGULAR_EXPRESSION "Running 0 tests from")
endfunction()
