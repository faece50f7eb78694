# Puts sql/ together: pgq.sql for psql, and the same script as a C array for the library.
#   cmake -DSOURCE=sql -DOUT=dir -DVERSION=x.y.z -P AssembleSql.cmake
# The order of the lists is the order of execution.
set(migrations 0001_core 0002_leases 0003_claims 0004_topics 0005_ids)
set(functions outcome attributes holder doorbell stats queue enqueue send due settle receipt claim take browse dead
    clean topic_log topic topic_publish topic_read topic_subscribe topic_restore
    consumers doctor_topics doctor access)

set(MIGRATIONS "")
set(SCHEMA_VERSION 0)
foreach(name IN LISTS migrations)
  math(EXPR SCHEMA_VERSION "${SCHEMA_VERSION} + 1")
  file(READ "${SOURCE}/migrations/${name}.sql" body)
  if(MIGRATIONS)
    string(APPEND MIGRATIONS ",\n")
  endif()
  string(APPEND MIGRATIONS "(${SCHEMA_VERSION}, '${name}', $pgq_sql$\n${body}$pgq_sql$)")
endforeach()

set(FUNCTIONS "")
foreach(name IN LISTS functions)
  file(READ "${SOURCE}/functions/${name}.sql" body)
  string(APPEND FUNCTIONS "${body}\n")
endforeach()
# As install.sql.in has them in its text.
string(MD5 FUNCTIONS_DIGEST "\n${FUNCTIONS}\n")

set(PSQL_HEAD [[
\if :{?namespace}
\else
\set namespace mq
\endif
\set ON_ERROR_STOP on]])
configure_file("${SOURCE}/install.sql.in" "${OUT}/pgq.sql" @ONLY)

set(PSQL_HEAD "")
configure_file("${SOURCE}/install.sql.in" "${OUT}/embedded.sql" @ONLY)
file(READ "${OUT}/embedded.sql" hex HEX)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
string(REGEX REPLACE "((0x..,){20})" "\\1\n" bytes "${bytes}")
file(WRITE "${OUT}/install_sql.c.new"
     "#include \"install_sql.h\"\n\nconst int pgqi_schema_version = ${SCHEMA_VERSION};\n"
     "const char pgqi_functions_digest[] = \"${FUNCTIONS_DIGEST}\";\n"
     "const unsigned char pgqi_install_sql[] = {\n${bytes}0x00};\n")
file(COPY_FILE "${OUT}/install_sql.c.new" "${OUT}/install_sql.c" ONLY_IF_DIFFERENT)
