# pgq_warnings(target): the warnings that the project's own code is kept free of, with gcc and clang.
function(pgq_warnings target)
  target_compile_options(
    ${target} PRIVATE -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes
                      -Wvla -Wformat=2 -Wundef $<$<BOOL:${PGQ_WERROR}>:-Werror>)
endfunction()
