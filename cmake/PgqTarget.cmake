# pgq_target_defaults(target): what every library and program of the project is compiled with.
function(pgq_target_defaults target)
  set_target_properties(${target} PROPERTIES C_STANDARD 11 C_STANDARD_REQUIRED ON C_EXTENSIONS OFF
                                             C_VISIBILITY_PRESET hidden)
  target_compile_definitions(${target} PRIVATE _POSIX_C_SOURCE=200809L)
  pgq_warnings(${target})
  pgq_sanitizers(${target})
endfunction()
