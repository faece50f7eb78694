# What a builder may choose. A project that takes pgq in by add_subdirectory() gets the library alone.
option(PGQ_BUILD_TESTS "Build the tests" ${PROJECT_IS_TOP_LEVEL})
option(PGQ_BUILD_TOOLS "Build pgq and pgq-listen" ${PROJECT_IS_TOP_LEVEL})
option(PGQ_BUILD_EXAMPLES "Build the examples" ${PROJECT_IS_TOP_LEVEL})
option(PGQ_BUILD_BENCH "Build pgq-bench" ${PROJECT_IS_TOP_LEVEL})
option(PGQ_WERROR "Treat warnings as errors" OFF)
set(PGQ_SANITIZE "" CACHE STRING "Sanitizers to build with: empty, address-undefined or thread")
set_property(CACHE PGQ_SANITIZE PROPERTY STRINGS "" address-undefined thread)

if(PROJECT_IS_TOP_LEVEL AND NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "Debug, Release, RelWithDebInfo or MinSizeRel" FORCE)
endif()
