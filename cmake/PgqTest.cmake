# Tests are cmocka programs. Those that need a server find it in the environment, as PGQ_TEST_DSN, and
# exit 77, which ctest counts as skipped, when there is none.
#
#   pgq_unit_test(name [source...])
#     no server; linked to the library with its internals; label unit; run under valgrind as well
#   pgq_db_test(name [source...] [LABELS label...] [TIMEOUT seconds] [COST seconds] [LIBRARIES library...]
#               [INTERNALS] [ALONE] [VALGRIND])
#     COST is about what it takes, for those that take longest: ctest starts with them;
#     LABELS threads: under ThreadSanitizer, too; the target pgq_threads_tests is all of these
#     INTERNALS links the library with its internals and fault injection in place of the plain static one;
#     ALONE keeps other tests from running at the same time;
#     VALGRIND runs it under valgrind as well; label db
#
#   pgq_test_support(name source...)
#     what several of them share, compiled once; given to them as a LIBRARY
#
# The source is name.c unless others are given.
find_program(PGQ_VALGRIND valgrind)
mark_as_advanced(PGQ_VALGRIND)
add_custom_target(pgq_threads_tests)

# A sanitized program cannot run under valgrind, nor has it to.
function(pgq_valgrind_test name labels timeout)
  if(NOT PGQ_VALGRIND OR PGQ_SANITIZE)
    return()
  endif()
  add_test(NAME ${name}_valgrind
           COMMAND ${PGQ_VALGRIND} -q --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite,indirect
                   --show-leak-kinds=definite,indirect --track-fds=no $<TARGET_FILE:${name}>)
  math(EXPR timeout "${timeout} * 4")
  set_tests_properties(${name}_valgrind PROPERTIES LABELS "valgrind;${labels}" TIMEOUT ${timeout} SKIP_RETURN_CODE 77)
endfunction()

function(pgq_test_program name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "INTERNALS" "" "SOURCES;LIBRARIES")
  if(NOT arg_SOURCES)
    set(arg_SOURCES ${name}.c)
  endif()
  add_executable(${name} ${arg_SOURCES})
  pgq_target_defaults(${name})
  target_include_directories(${name} PRIVATE "${PROJECT_SOURCE_DIR}/tests")
  target_link_libraries(${name} PRIVATE ${arg_LIBRARIES})
  if(arg_INTERNALS)
    target_link_libraries(${name} PRIVATE pgq_testing)
  else()
    target_link_libraries(${name} PRIVATE pgq_static)
  endif()
  target_link_libraries(${name} PRIVATE PkgConfig::CMOCKA json-c::json-c Threads::Threads)
endfunction()

# Public headers only: it is linked to the library with internals and to that without.
function(pgq_test_support name)
  add_library(${name} STATIC EXCLUDE_FROM_ALL ${ARGN})
  pgq_target_defaults(${name})
  target_include_directories(
    ${name} PRIVATE "${PROJECT_SOURCE_DIR}/tests"
                    "$<TARGET_PROPERTY:pgq_static,INTERFACE_INCLUDE_DIRECTORIES>")
  target_link_libraries(${name} PUBLIC PostgreSQL::PostgreSQL PkgConfig::CMOCKA json-c::json-c Threads::Threads)
endfunction()

function(pgq_unit_test name)
  pgq_test_program(${name} INTERNALS SOURCES ${ARGN})
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES LABELS unit TIMEOUT 60)
  pgq_valgrind_test(${name} unit 60)
endfunction()

function(pgq_db_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "INTERNALS;ALONE;VALGRIND" "TIMEOUT;COST" "SOURCES;LABELS;LIBRARIES")
  list(APPEND arg_SOURCES ${arg_UNPARSED_ARGUMENTS})
  if(arg_INTERNALS)
    set(internals INTERNALS)
  endif()
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 120)
  endif()
  pgq_test_program(${name} ${internals} SOURCES ${arg_SOURCES} LIBRARIES ${arg_LIBRARIES})
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES LABELS "db;${arg_LABELS}" TIMEOUT ${arg_TIMEOUT} SKIP_RETURN_CODE 77)
  if(arg_VALGRIND)
    pgq_valgrind_test(${name} "db;${arg_LABELS}" ${arg_TIMEOUT})
  endif()
  if("threads" IN_LIST arg_LABELS)
    add_dependencies(pgq_threads_tests ${name})
  endif()
  if(arg_COST)
    set_tests_properties(${name} PROPERTIES COST ${arg_COST})
  endif()
  if(arg_ALONE)
    set_tests_properties(${name} PROPERTIES RUN_SERIAL ON)
  endif()
endfunction()
