# install(): the library in two components, pgq_runtime (what a program needs to run, and pgq.sql)
# and pgq_development (what it takes to build one); the tools install themselves as pgq_tools.
include(CMakePackageConfigHelpers)

install(TARGETS pgq EXPORT pgqTargets
        LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}" COMPONENT pgq_runtime
                NAMELINK_COMPONENT pgq_development)
install(TARGETS pgq_static EXPORT pgqStaticTargets
        ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}" COMPONENT pgq_development)
install(FILES ${PGQ_HEADERS} DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/pgq" COMPONENT pgq_development)
install(FILES "${PGQ_GENERATED}/pgq.sql" DESTINATION "${CMAKE_INSTALL_DATADIR}/pgq" COMPONENT pgq_runtime)

# --- CMake package: two files of targets, since only the static library makes its user find json-c ---

set(PGQ_CMAKEDIR "${CMAKE_INSTALL_LIBDIR}/cmake/pgq")
configure_package_config_file(cmake/pgqConfig.cmake.in "${PGQ_GENERATED}/pgqConfig.cmake"
                              INSTALL_DESTINATION "${PGQ_CMAKEDIR}" NO_SET_AND_CHECK_MACRO)
# Before 1.0 a minor version may break the API.
write_basic_package_version_file("${PGQ_GENERATED}/pgqConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
install(EXPORT pgqTargets NAMESPACE pgq:: DESTINATION "${PGQ_CMAKEDIR}" COMPONENT pgq_development)
install(EXPORT pgqStaticTargets NAMESPACE pgq:: DESTINATION "${PGQ_CMAKEDIR}" COMPONENT pgq_development)
install(FILES "${PGQ_GENERATED}/pgqConfig.cmake" "${PGQ_GENERATED}/pgqConfigVersion.cmake"
        DESTINATION "${PGQ_CMAKEDIR}" COMPONENT pgq_development)

# --- pkg-config: the prefix is found from the place of the file, so that a tree can be moved ---

set(PGQ_PCDIR "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
function(pgq_from_prefix out dir)
  if(IS_ABSOLUTE "${dir}")
    set(${out} "${dir}" PARENT_SCOPE)
  else()
    set(${out} "\${prefix}/${dir}" PARENT_SCOPE)
  endif()
endfunction()
pgq_from_prefix(PGQ_PC_INCLUDEDIR "${CMAKE_INSTALL_INCLUDEDIR}")
pgq_from_prefix(PGQ_PC_LIBDIR "${CMAKE_INSTALL_LIBDIR}")
pgq_from_prefix(PGQ_PC_DATADIR "${CMAKE_INSTALL_DATADIR}")
if(IS_ABSOLUTE "${PGQ_PCDIR}")
  set(PGQ_PC_PREFIX "${CMAKE_INSTALL_PREFIX}")
else()
  file(RELATIVE_PATH up "/${PGQ_PCDIR}" "/")
  string(REGEX REPLACE "/$" "" up "${up}")
  set(PGQ_PC_PREFIX "\${pcfiledir}/${up}")
endif()
configure_file(cmake/pgq.pc.in "${PGQ_GENERATED}/pgq.pc" @ONLY)
install(FILES "${PGQ_GENERATED}/pgq.pc" DESTINATION "${PGQ_PCDIR}" COMPONENT pgq_development)

# --- manual pages ---

foreach(section 1 3)
  file(GLOB pages CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/docs/man/*.${section}")
  list(FILTER pages EXCLUDE REGEX "/pgq-bench\\.1$") # the program is not installed
  if(section EQUAL 1)
    set(component pgq_tools)
  else()
    set(component pgq_development)
  endif()
  if(pages)
    install(FILES ${pages} DESTINATION "${CMAKE_INSTALL_MANDIR}/man${section}" COMPONENT ${component})
  endif()
endforeach()
