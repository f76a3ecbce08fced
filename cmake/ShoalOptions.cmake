option(SHOAL_TESTS "Build the tests" ON)
option(SHOAL_FUZZ "Build the libFuzzer targets (needs clang)" OFF)
option(SHOAL_HARDENED "Hardening flags for binaries that ship" OFF)
# Of shoal-tuf alone: the verifier that devices link is ed25519 only, whatever
# this says (docs/adr/0008).
option(SHOAL_INTEROP_ALGORITHMS "shoal-tuf verifies ECDSA P-256 and RSA-PSS too" ON)
set(SHOAL_SANITIZER "" CACHE STRING "'', 'address' (with UBSan) or 'thread'")

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # The base directory makes several build folders of one checkout share hits.
  set(launcher ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${CMAKE_SOURCE_DIR}
      CCACHE_NOHASHDIR=1 CCACHE_SLOPPINESS=pch_defines,time_macros ${CCACHE_PROGRAM})
  set(CMAKE_C_COMPILER_LAUNCHER ${launcher})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${launcher})
endif()

find_program(MOLD_PROGRAM mold)
if(MOLD_PROGRAM AND NOT SHOAL_HARDENED)
  add_link_options(-fuse-ld=mold)
endif()

add_compile_options(-Wall -Wextra -Wshadow -Wnon-virtual-dtor -Werror
                    $<$<COMPILE_LANGUAGE:CXX>:-Woverloaded-virtual>)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # GCC 12 reports false positives from inlined standard library code here.
  add_compile_options(-Wno-restrict -Wno-stringop-overflow -Wno-array-bounds
                      -Wno-maybe-uninitialized -Wno-dangling-pointer
                      -Wno-stringop-overread -Wno-free-nonheap-object)
endif()

if(SHOAL_SANITIZER STREQUAL "address")
  add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=undefined
                      -fno-omit-frame-pointer)
  add_link_options(-fsanitize=address,undefined)
elseif(SHOAL_SANITIZER STREQUAL "thread")
  add_compile_options(-fsanitize=thread -fno-omit-frame-pointer)
  add_link_options(-fsanitize=thread)
elseif(SHOAL_SANITIZER)
  message(FATAL_ERROR "SHOAL_SANITIZER is 'address' or 'thread', not '${SHOAL_SANITIZER}'")
endif()

if(SHOAL_HARDENED)
  set(CMAKE_POSITION_INDEPENDENT_CODE ON)
  add_compile_options(-fstack-protector-strong -fstack-clash-protection
                      -fcf-protection -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
  add_link_options(-pie -Wl,-z,relro,-z,now -Wl,-z,noexecstack)
endif()

if(SHOAL_FUZZ)
  if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    message(FATAL_ERROR "SHOAL_FUZZ needs clang: use the preset 'fuzz'")
  endif()
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
