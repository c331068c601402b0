# Language level, warnings, sanitizers, compiler cache and linker: the same for every target.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

# Headers take most of a file's compile time: a dozen files of a target read them once. What a file keeps to itself has therefore
# a name of its own in its target. The clang preset goes without, so that a file which lacks an include does not pass unseen.
if(QUARRY_UNITY)
  set(CMAKE_UNITY_BUILD ON)
  set(CMAKE_UNITY_BUILD_BATCH_SIZE 12)
endif()

find_program(QUARRY_CCACHE ccache)
if(QUARRY_CCACHE)
  # Precompiled headers need the relaxed checks, or every user of one misses the cache.
  set(QUARRY_LAUNCHER ${CMAKE_COMMAND} -E env
      CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
      CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1 ${QUARRY_CCACHE})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${QUARRY_LAUNCHER})
  set(CMAKE_C_COMPILER_LAUNCHER ${QUARRY_LAUNCHER})
endif()
find_program(QUARRY_MOLD mold)
if(QUARRY_MOLD)
  add_link_options(-fuse-ld=mold)
endif()

if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # gcc would collect its garbage again and again for a sixth of its time; a dozen files as one end at about a gigabyte without.
  add_compile_options(--param=ggc-min-heapsize=1048576)
endif()

add_library(quarry_flags INTERFACE)
target_compile_options(quarry_flags INTERFACE -Wall -Wextra -Werror)
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  target_compile_options(quarry_flags INTERFACE -Wthread-safety -Werror=thread-safety)
elseif(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # gcc 12 reports these falsely for std::variant, std::optional and coroutine frames when it inlines.
  target_compile_options(quarry_flags INTERFACE -Wno-maybe-uninitialized -Wno-restrict
                         -Wno-stringop-overflow -Wno-array-bounds)
  if(QUARRY_UNITY)
    target_compile_options(quarry_flags INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Wno-subobject-linkage>)  # It takes a file that is included for a header.
  endif()
endif()
target_include_directories(quarry_flags INTERFACE ${CMAKE_SOURCE_DIR})

if(QUARRY_SANITIZE)
  add_compile_options(-fsanitize=${QUARRY_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${QUARRY_SANITIZE})
  add_compile_definitions(QUARRY_PLAIN_FRAMES)
endif()
if(QUARRY_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)  # Or the fuzzer sees nothing of the libraries and tries blindly.
endif()
if(QUARRY_COVERAGE)
  add_compile_options(--coverage -fprofile-update=atomic)
  add_link_options(--coverage)
endif()
